"""The accuracy axis of the published models' figures: even in the logarithm of the error, so that the last tenths show."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

TICKS = (0.9, 0.95, 0.97, 0.975, 0.98, 0.985, 0.99, 0.992, 0.994, 0.995, 0.996, 0.997)


@dataclass(frozen=True)
class Scale:
    """An axis from one accuracy to another."""

    low: float
    high: float

    def share(self, accuracy: float) -> float:
        """Return where on the axis an accuracy lies, from 0 to 1; what lies outside is put at the edge."""
        place = (_height(accuracy) - _height(self.low)) / (_height(self.high) - _height(self.low))
        return min(max(place, 0.0), 1.0)

    @property
    def ticks(self) -> list[float]:
        """Return the round figures on it."""
        return [tick for tick in TICKS if self.low <= tick <= self.high]


def around(values: Iterable[float]) -> Scale:
    """Return the shortest axis between two round figures that holds all values."""
    values = list(values)
    low = max((tick for tick in TICKS if tick <= min(values)), default=TICKS[0])
    return Scale(low, min((tick for tick in TICKS if tick >= max(values)), default=TICKS[-1]))


def _height(accuracy: float) -> float:
    """Return the height of an accuracy: the logarithm of its error, upside down."""
    return -math.log10(max(1 - accuracy, 1e-6))
