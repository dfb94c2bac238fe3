"""Nets of separable residual blocks: more width for the same parameters. And parts that help small nets without parameters."""

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from mnistlib.augment import SamplingGrid, warp
from mnistlib.data import MEAN, SD
from mnistlib.models import conv, drop, head


class Deslant(nn.Module):
    """Shear every digit upright, by the moments of its ink; no parameters.

    LeCun et al. 1998, https://doi.org/10.1109/5.726791, section III.A: "deslanting".
    """

    moves_only = True  # the image is sheared as a whole; receptive fields are counted after it

    def forward(self, pixels: Tensor) -> Tensor:
        """Return normalised pixels [n, 1, 28, 28] after the shear, along the width, that makes x and y of the ink uncorrelated."""
        ink = (pixels * SD + MEAN).clamp(min=0)
        line = torch.linspace(-1, 1, ink.shape[2], device=ink.device)
        mass = ink.sum((1, 2, 3)).clamp(min=1e-6)
        x, y = (ink.sum((1, side)) @ line / mass for side in (2, 3))
        slant = torch.einsum("nchw,h,w->n", ink, line, line) / mass - x * y
        shear = slant / ((ink.sum((1, 3)) @ line**2) / mass - y * y).clamp(min=1e-6)
        one, zero = torch.ones_like(shear), torch.zeros_like(shear)
        rows = [torch.stack([one, shear, -shear * y], 1), torch.stack([zero, one, zero], 1)]
        return (warp(ink, SamplingGrid(torch.stack(rows, 1), None)) - MEAN) / SD


class BiasNorm(nn.BatchNorm2d):
    """Batch normalization with a shift and no scale, which the next layer's weights can take over where ReLU lies between."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        del self.weight
        self.weight = None

    def reset_parameters(self) -> None:
        """Return to statistics that change nothing, and no shift."""
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


class Residual(nn.Sequential):
    """Layers whose output is added to their input."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the sum: maps [n, c, h, w], of the same shape before and after."""
        return maps + super().forward(maps)


def separable(n_in: int, n_out: int, padding: int = 1, norm: type[nn.Module] = nn.BatchNorm2d) -> nn.Sequential:
    """Return a depthwise and a pointwise convolution, batch normalization and ReLU; with a shortcut where shapes stay the same."""
    depthwise, pointwise = nn.Conv2d(n_in, n_in, 3, padding=padding, groups=n_in, bias=False), nn.Conv2d(n_in, n_out, 1, bias=False)
    layers = OrderedDict(depthwise=depthwise, pointwise=pointwise, norm=norm(n_out), relu=nn.ReLU(inplace=True))
    return (Residual if (n_in, padding) == (n_out, 1) else nn.Sequential)(layers)


def residual(
    dropout: float = 0.0, first: int = 16, width: int = 34, paddings: tuple[int, ...] = (0, 1, 0, 1, 0), weighted: int = 0
) -> nn.Sequential:
    """Return a net that pools early, then separable blocks of equal width, one for each padding.

    Its head takes the average of each last map, or where `weighted` is their side, a learned weight for each place.
    """
    widths = [first, *[width] * len(paddings)]
    pool = nn.Sequential(nn.Conv2d(width, width, weighted, groups=width, bias=False), nn.Flatten()) if weighted else None
    return nn.Sequential(
        conv(1, first, 5, padding=0, pool=True),
        *drop(dropout),
        *(separable(n_in, width, padding) for n_in, padding in zip(widths[:-1], paddings, strict=True)),
        head(width, pool),
    )


def tiny(dropout: float = 0.0, widths: tuple[int, ...] = (7, 10, 10, 11, 12), uses: int = 0, deslanted: bool = False) -> nn.Sequential:
    """Return a net of separable blocks whose norms have no scales, and one more block that is used `uses` times."""
    first, last = widths[0], widths[-1]
    shared = nn.Conv2d(last, last, 3, groups=last, bias=False), nn.Conv2d(last, last, 1, bias=False)
    repeated = [layer for _ in range(uses) for layer in (*shared, BiasNorm(last), nn.ReLU(inplace=True))]
    return nn.Sequential(
        *([Deslant()] if deslanted else []),
        nn.Sequential(nn.Conv2d(1, first, 3, bias=False), nn.MaxPool2d(2), BiasNorm(first), nn.ReLU(inplace=True)),
        *drop(dropout),
        *(separable(a, b, 0, BiasNorm) for a, b in zip(widths[:-1], widths[1:], strict=True)),
        *([nn.Sequential(*repeated)] if uses else []),
        head(last),
    )


half = partial(residual, first=12, width=22)
tiny_deslanted, tiny_shared = partial(tiny, deslanted=True), partial(tiny, widths=(8, 17), uses=3)
tiny_shared_deslanted = partial(tiny_shared, deslanted=True)
