"""The nets that were considered for the series beside its own; `candidates` says why, reports/choices/ how they did."""

from functools import partial

from torch import nn

from mnistlib.models import conv, drop, head, narrow, skeleton

wide = partial(skeleton, maps=(11, 14, 22))
wide_norm = partial(wide, norm=True)
skeleton_norm = partial(skeleton, norm=True)


def weighted(dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    """Return the narrow net with learned weights for each place of its last maps instead of their average."""
    return narrow(dropout, nn.Sequential(nn.Conv2d(16, 16, 4, groups=16, bias=False), nn.Flatten()), norm)


weighted_norm = partial(weighted, norm=True)


def two_pools(dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    """Return a net that pools twice and ends in a linear layer on the last map."""
    return nn.Sequential(
        conv(1, 8, 5, padding=0, pool=True, norm=norm),
        *drop(dropout),
        conv(8, 12, padding=0, norm=norm),
        conv(12, 16, padding=0, pool=True, norm=norm),
        conv(16, 16, norm=norm),
        head(256, nn.Flatten()),
    )


two_pools_norm = partial(two_pools, norm=True)


def strided(dropout: float = 0.0) -> nn.Sequential:
    """Return a net whose first layer has stride two instead of pooling; all widths suit a processor's vectors."""
    return nn.Sequential(
        conv(1, 16, 6, padding=0, stride=2),
        *drop(dropout),
        conv(16, 16, padding=0),
        conv(16, 16, padding=0),
        conv(16, 16, padding=0),
        head(16),
    )


def strided_8ch(dropout: float = 0.0) -> nn.Sequential:
    """Return the strided_pool net with half as many feature maps in its first layer."""
    return nn.Sequential(
        conv(1, 8, 6, padding=0, stride=2),
        conv(8, 16, pool=True),
        *drop(dropout),
        conv(16, 16),
        conv(16, 16),
        head(16),
    )
