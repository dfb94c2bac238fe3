"""Optimizers as published recipes name them: torch's own loop, step by step, and what they carry across an interruption."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.optim import SGD, Adam, lr_scheduler

from mnistlib import data, descent, train
from mnistlib.published import registry
from mnistlib.published.schedulers import OneCycle, Stepped
from mnistlib.recipe import Optimizer, Recipe

EPOCHS, N_STEPS = 3, 5  # of 64 images


@pytest.fixture(scope="module")
def few() -> data.Mnist:
    """Return a few of scikit-learn's digits: what is tested here does not depend on the data."""
    return data.load("digits", limit=300)


@pytest.fixture
def exact(monkeypatch) -> None:
    """Take batches in double precision: a ReLU at its kink makes much of single precision's rounding."""
    batches = train.batches
    monkeypatch.setattr(train, "batches", lambda *given: ((pixels.double(), targets) for pixels, targets in batches(*given)))


def plain_loop(recipe: Recipe, few: data.Mnist, optimizer, scheduler, per: str) -> dict[str, torch.Tensor]:
    """Return the weights that a loop as in torch's tutorials ends with, on the same batches."""
    net = train.fresh(recipe, 0).double().train()
    optimizer = optimizer(net.parameters())
    schedule = scheduler(optimizer)
    for epoch in range(recipe.epochs):
        for pixels, targets in train.batches(few.train.images, few.train.labels, recipe, [0], epoch):
            optimizer.zero_grad()
            F.nll_loss(F.log_softmax(net(pixels), 1), targets).backward()
            optimizer.step()
            if per == "step":
                schedule.step()
        if per == "epoch":
            schedule.step()
    return net.state_dict()


def our_loop(recipe: Recipe, few: data.Mnist) -> dict[str, torch.Tensor]:
    """Return the weights that the library's epochs end with."""
    net = train.fresh(recipe, 0).double()
    optimizer = descent.optimizer_of(net.parameters(), recipe)
    for epoch in range(recipe.epochs):
        train.one_epoch(net, optimizer, {}, few.train.images, few.train.labels, recipe, 0, epoch)
    return net.state_dict()


ALIKE = [
    (
        {"optimizer": Optimizer(lr=0.02, nesterov=False, weight_decay=0.1, decays="all"), "schedule": Stepped(every=2, factor=0.5)},
        lambda values: SGD(values, lr=0.02, momentum=0.9, weight_decay=0.1),
        lambda optimizer: lr_scheduler.StepLR(optimizer, 2, 0.5),
        "epoch",
    ),
    (
        {"optimizer": Optimizer(lr=0.02, weight_decay=0.1, decays="all"), "schedule": OneCycle()},
        lambda values: SGD(values, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=EPOCHS * N_STEPS),
        "step",
    ),
    (
        {"optimizer": Optimizer(kind="adam", lr=0.01, weight_decay=0.1, decays="all"), "schedule": OneCycle()},
        lambda values: Adam(values, lr=0.01, weight_decay=0.1),
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=EPOCHS * N_STEPS),
        "step",
    ),
]


@pytest.mark.parametrize(("fields", "optimizer", "scheduler", "per"), ALIKE)
def test_a_run_is_that_of_a_plain_torch_loop(few, exact, fields, optimizer, scheduler, per):
    recipe = Recipe("003-model-1", batch_size=64, epochs=EPOCHS, **fields)
    assert len(train.cuts(len(few.train.labels), recipe.batch_size)) == N_STEPS
    theirs, ours = plain_loop(recipe, few, optimizer, scheduler, per), our_loop(recipe, few)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
    other = our_loop(replace(recipe, optimizer=replace(recipe.optimizer, decays="kernels")), few)
    assert (other["0.norm.weight"] - theirs["0.norm.weight"]).abs().max() > 1e-4


def test_what_is_decayed_is_what_the_recipe_says():
    net = train.models.build("002-model-3", 0.1)
    for decays, rest in (("all", 0.5), ("kernels", 0.0)):
        groups = descent.optimizer_of(net.parameters(), Recipe("002-model-3", Optimizer(weight_decay=0.5, decays=decays))).param_groups
        assert [group["weight_decay"] for group in groups] == [0.5, rest]
        assert {p.ndim for p in groups[0]["params"]} == {4} and {p.ndim for p in groups[1]["params"]} == {1}


@pytest.mark.parametrize("name", ["000-model-4", "001-gap"])
def test_what_an_optimizer_carries_comes_back_to_it(few, name):
    recipe = replace(registry.get(name).recipe, batch_size=100, epochs=1)
    net = train.fresh(recipe, 0)
    first, second = (descent.optimizer_of(net.parameters(), recipe) for _ in range(2))
    assert descent.carried(net, first) == {}
    train.one_epoch(net, first, {}, few.train.images, few.train.labels, recipe, 0, 0)
    kept = descent.carried(net, first)
    assert {place.split("/")[0] for place in kept} == ({"momentum_buffer"} if name == "000-model-4" else {"step", "exp_avg", "exp_avg_sq"})
    descent.restore({place: value.clone() for place, value in kept.items()}, net, second)
    again = descent.carried(net, second)
    assert again.keys() == kept.keys() and all(torch.equal(again[place], value) for place, value in kept.items())
