"""The nets that were considered for the series beside its own; `candidates` says why, reports/choices/ how they did."""

from functools import partial

from torch import nn

from mnistlib.models import conv, drop, head, narrow, skeleton, weighted

wide = partial(skeleton, maps=(11, 14, 22))
narrow_plain = partial(narrow, norm=False)
skeleton_norm, wide_norm, weighted_norm = partial(skeleton, norm=True), partial(wide, norm=True), weighted


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
