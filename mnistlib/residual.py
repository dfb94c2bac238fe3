"""Nets of separable residual blocks: more width for the same parameters."""

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn

from mnistlib.models import conv, drop, head


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


half = partial(residual, first=12, width=22)
