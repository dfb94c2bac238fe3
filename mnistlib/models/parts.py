"""The few parts that every net here is made of; shapes and receptive fields are computed by `anatomy`."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from mnistlib.published.dropout import Dropout


class GlobalMax(nn.Module):
    """Keep the largest value of each feature map: [n, c, h, w] to [n, c]."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maximum over height and width; where is not kept, only how much."""
        return maps.amax((2, 3))


class GlobalAverage(nn.Module):
    """Keep the mean of each feature map: [n, c, h, w] to [n, c]."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the mean over height and width."""
        return maps.mean((2, 3))


def block(
    n_in: int,
    n_out: int,
    kernel: int = 3,
    order: str = "norm relu",
    *,
    padding: int = 0,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Return a convolution and after it what `order` names: "pool" (2x2 maximum), "norm" (batch), "group" (group norm), "relu", "drop"."""
    made = {
        "pool": lambda: nn.MaxPool2d(2),
        "norm": lambda: nn.BatchNorm2d(n_out),
        "group": lambda: nn.GroupNorm(2, n_out),
        "relu": lambda: nn.ReLU(inplace=True),
        "drop": lambda: Dropout(dropout),
    }
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(n_in, n_out, kernel, stride, padding, dilation, groups, bias=bias))
    layers.update((name, made[name]()) for name in order.split() if name != "drop" or dropout)
    return nn.Sequential(layers)


def conv(n_in: int, n_out: int, kernel: int = 3, padding: int | None = None, stride: int = 1, pool: bool = False) -> nn.Sequential:
    """Return convolution, 2x2 maximum pooling where asked, batch normalization, ReLU.

    The convolution has no bias: batch normalization brings its own. `padding` None is half the kernel, which keeps height and width.
    Pooling comes before normalization and ReLU, which then work on a quarter of the values.
    """
    padding = kernel // 2 if padding is None else padding
    return block(n_in, n_out, kernel, "pool norm relu" if pool else "norm relu", padding=padding, stride=stride)


def drop(probability: float) -> list[nn.Module]:
    """Return dropout of whole feature maps as a list to unpack into a net; nothing at probability zero."""
    return [nn.Dropout2d(probability)] if probability else []


def head(n_in: int, glance: str = "max") -> nn.Sequential:
    """Return global pooling ("max" or "average") and the linear layer that turns `n_in` values into ten logits."""
    pooling = {"max": GlobalMax, "average": GlobalAverage}[glance]()
    return nn.Sequential(OrderedDict(pool=pooling, linear=nn.Linear(n_in, 10)))


def initialise(net: nn.Module, seed: int) -> nn.Module:
    """Draw a net's first weights from `seed` alone, leaving the global random state as it was, and return the net."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in net.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return net
