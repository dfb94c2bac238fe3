"""The nets of the series: short functions, each a layer list that is the model."""

from __future__ import annotations

from torch import nn

from mnistlib.models.parts import conv, drop, head


def skeleton(dropout: float = 0.0) -> nn.Sequential:
    """Return the first net: pooled early, averaged over the map at the end, no thought given to size."""
    return nn.Sequential(
        conv(1, 10, 5, padding=0, pool=True),
        *drop(dropout),
        conv(10, 16, padding=0),
        conv(16, 16, padding=0),
        conv(16, 20, padding=0),
        conv(20, 20, padding=0),
        head(20, "average"),
    )


def average(dropout: float = 0.0, glance: str = "average") -> nn.Sequential:
    """Return the skeleton made narrower, still averaged over the map."""
    return nn.Sequential(
        conv(1, 8, 5, padding=0, pool=True),
        *drop(dropout),
        conv(8, 12, padding=0),
        conv(12, 16, padding=0),
        conv(16, 16, padding=0),
        conv(16, 16, padding=0),
        head(16, glance),
    )


def brisk(dropout: float = 0.0) -> nn.Sequential:
    """Return a net of fewer values: its first layer takes every other pixel, and pooling after the second leaves little to do."""
    return nn.Sequential(
        conv(1, 16, 6, padding=0, stride=2),
        conv(16, 16, pool=True),
        *drop(dropout),
        conv(16, 16),
        conv(16, 16, padding=0),
        head(16, "average"),
    )
