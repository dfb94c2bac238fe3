"""Nets of separable convolutions: more width for the same parameters, and more again where one of them is used several times."""

from collections import OrderedDict

from torch import nn

from mnistlib.models import conv, drop, head


def pair(n_in: int, n_out: int, padding: int = 0) -> nn.Sequential:
    """Return a separable convolution: a depthwise one, 3x3, and a pointwise one, 1x1 (Howard et al. 2017, arXiv:1704.04861)."""
    depthwise = nn.Conv2d(n_in, n_in, 3, padding=padding, groups=n_in, bias=False)
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=nn.Conv2d(n_in, n_out, 1, bias=False)))


def block(layers: nn.Module, width: int) -> list[nn.Module]:
    """Return layers, batch normalization of the maps that they pass on, and ReLU, as a list to unpack into a net."""
    return [layers, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def recurrent(dropout: float = 0.0, first: int = 16, width: int = 64, uses: int = 4) -> nn.Sequential:
    """Return a net that pools early, then uses one wide separable convolution several times.

    Each use has a batch normalization of its own, for the maps differ from use to use (Savarese and Maire 2019, arXiv:1902.09701).
    """
    shared = pair(width, width)
    return nn.Sequential(
        conv(1, first, 5, padding=0, pool=True),
        *drop(dropout),
        nn.Sequential(*block(pair(first, width, padding=1), width)),
        nn.Sequential(*(layer for _ in range(uses) for layer in block(shared, width))),
        head(width),
    )
