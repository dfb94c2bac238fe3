"""What moves the weights: optimizers as recipes name them, their rates, and what they carry from step to step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mnistlib.published.schedulers import Moment
from mnistlib.recipe import Recipe


def optimizer_of(parameters: Iterable[Tensor], recipe: Recipe, stacked: bool = False) -> torch.optim.Optimizer:
    """Return the recipe's optimizer; unless it decays all, weight decay pulls kernels and the linear layer, not the rest.

    `stacked` parameters have a first dimension over seeds.
    """
    set_to, values = recipe.optimizer, list(parameters)
    rest = set_to.weight_decay if set_to.decays == "all" else 0.0  # of normalization and biases
    groups = [
        {"params": [value for value in values if value.ndim > 1 + stacked], "weight_decay": set_to.weight_decay},
        {"params": [value for value in values if value.ndim <= 1 + stacked], "weight_decay": rest},
    ]
    if set_to.kind == "adam":
        return torch.optim.Adam(groups, lr=set_to.lr, fused=True)
    return torch.optim.SGD(groups, lr=set_to.lr, momentum=set_to.momentum, nesterov=set_to.nesterov and set_to.momentum > 0, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, moment: Moment) -> float:
    """Set and return the learning rate of a step, and the momentum where the schedule has a say in it."""
    lr, momentum = recipe.optimizer.lr * recipe.schedule.at(moment), recipe.schedule.momentum(moment)
    for group in optimizer.param_groups:
        group["lr"] = lr
        if momentum is not None:
            group.update({"betas": (momentum, group["betas"][1])} if "betas" in group else {"momentum": momentum})
    return lr


def carried(net: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what the optimizer carries from step to step, such as running updates: by its own name for it and the parameter's."""
    kept = {f"{what}/{name}": value for name, p in net.named_parameters() for what, value in optimizer.state[p].items()}
    return {name: value for name, value in kept.items() if value is not None}


def restore(carried: dict[str, Tensor], net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give an optimizer back what it carried when a run was interrupted."""
    parameters = dict(net.named_parameters())
    for place, kept in carried.items():
        what, _, name = place.partition("/")
        like = parameters[name] if kept.shape == parameters[name].shape else kept
        optimizer.state[parameters[name]][what] = torch.empty_like(like, device=parameters[name].device).copy_(kept)
