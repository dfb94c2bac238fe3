"""The nets that were considered for the series beside its own; `candidates` says why, reports/choices/ how they did."""

from __future__ import annotations

from torch import nn

from mnistlib.models.parts import conv, drop, head
from mnistlib.models.series import average


def early(dropout: float = 0.0) -> nn.Sequential:
    """Return the same net with the strongest answer of each feature map instead of its average."""
    return average(dropout, "max")


def deep(dropout: float = 0.0) -> nn.Sequential:
    """Return a net of one layer more, all of them thinner."""
    return nn.Sequential(
        conv(1, 8, 5, padding=0, pool=True),
        *drop(dropout),
        conv(8, 12),
        conv(12, 12, padding=0),
        conv(12, 14, padding=0),
        conv(14, 14, padding=0),
        conv(14, 14, padding=0),
        head(14),
    )


def twice(dropout: float = 0.0) -> nn.Sequential:
    """Return a net that pools a second time."""
    return nn.Sequential(
        conv(1, 8, 5, pool=True),
        *drop(dropout),
        conv(8, 12),
        conv(12, 16, pool=True),
        conv(16, 16),
        conv(16, 16),
        head(16),
    )


def late(dropout: float = 0.0) -> nn.Sequential:
    """Return a net that looks twice at full size before it pools."""
    return nn.Sequential(
        conv(1, 8, padding=0),
        conv(8, 8, padding=0, pool=True),
        *drop(dropout),
        conv(8, 12, padding=0),
        conv(12, 14, padding=0),
        conv(14, 16, padding=0),
        conv(16, 16, padding=0),
        head(16),
    )


def strided(dropout: float = 0.0) -> nn.Sequential:
    """Return a net whose first layer takes every other pixel instead of pooling; all widths suit a processor's vectors."""
    return nn.Sequential(
        conv(1, 16, 6, padding=0, stride=2),
        *drop(dropout),
        conv(16, 16, padding=0),
        conv(16, 16, padding=0),
        conv(16, 16, padding=0),
        head(16, "average"),
    )


def lean(dropout: float = 0.0) -> nn.Sequential:
    """Return the brisk net with half as many maps in its first layer."""
    return nn.Sequential(
        conv(1, 8, 6, padding=0, stride=2),
        conv(8, 16, pool=True),
        *drop(dropout),
        conv(16, 16),
        conv(16, 16),
        head(16, "average"),
    )


def broad(dropout: float = 0.0) -> nn.Sequential:
    """Return the brisk net with one layer less and more maps in the middle."""
    return nn.Sequential(
        conv(1, 16, 6, padding=0, stride=2),
        conv(16, 24, pool=True),
        *drop(dropout),
        conv(24, 16, padding=0),
        head(16, "average"),
    )
