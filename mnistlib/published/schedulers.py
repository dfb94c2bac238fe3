"""The learning rates of published recipes: torch's own schedulers as values, each a function of how far a run has come.

Nothing is carried from step to step, so an interrupted run goes on with the very same rates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from mnistlib import checks


@dataclass(frozen=True)
class Moment:
    """A step of a run: how far it has come, and what has steered it."""

    epoch: int  # from 0
    step: int  # within the epoch, from 0
    n_steps: int  # of an epoch
    epochs: int  # of the run
    steered: tuple[float, ...] = ()  # accuracy on the steering images after each finished epoch

    @property
    def done(self) -> int:
        """Return the number of steps taken."""
        return self.epoch * self.n_steps + self.step


@dataclass(frozen=True)
class Stepped:
    """The learning rate times a factor after every few epochs: torch's StepLR; an `every` of more epochs than are run keeps it constant."""

    kind: str = field(default="stepped", init=False)
    every: int = 6  # epochs
    factor: float = 0.1

    def __post_init__(self) -> None:
        checks.whole(self, "every", 1, 1000)
        checks.number(self, "factor", 1e-6, 1)

    def at(self, moment: Moment) -> float:
        """Return the share of the recipe's learning rate at a step."""
        return self.factor ** (moment.epoch // self.every)

    def momentum(self, moment: Moment) -> None:
        """Return None: the momentum stays the recipe's."""


@dataclass(frozen=True)
class OneCycle:
    """Up along a cosine from a small learning rate to the recipe's, down along another to next to nothing: torch's OneCycleLR.

    The momentum (the first beta, with Adam) falls as the learning rate rises, and back.
    """

    kind: str = field(default="one cycle", init=False)
    rise: float = 0.3  # share of all steps spent rising
    start: float = 25.0  # the first learning rate is the recipe's divided by this
    end: float = 1e4  # and the last one the first divided by this
    low: float = 0.85  # momentum at the peak
    high: float = 0.95  # momentum at both ends

    def __post_init__(self) -> None:
        checks.number(self, "rise", 0.001, 0.999)
        checks.number(self, "start", 1, 1e9)
        checks.number(self, "end", 1, 1e9)
        checks.number(self, "low", 0, 0.999)
        checks.number(self, "high", 0, 0.999)

    def at(self, moment: Moment) -> float:
        """Return the share of the recipe's learning rate at a step."""
        return self._between(moment, 1 / self.start, 1.0, 1 / self.start / self.end)

    def momentum(self, moment: Moment) -> float:
        """Return the momentum at a step."""
        return self._between(moment, self.high, self.low, self.high)

    def _between(self, moment: Moment, first: float, peak: float, last: float) -> float:
        """Return the value at a step of what goes along cosines from `first` to `peak` to `last`."""
        total = moment.epochs * moment.n_steps
        top = self.rise * total - 1  # the last step of the rise, or a fraction after it
        if moment.done <= top:
            return _cosine(first, peak, moment.done / top if top else 1.0)
        return _cosine(peak, last, (moment.done - top) / (total - 1 - top))


def _cosine(first: float, last: float, progress: float) -> float:
    """Return the value between two ends at a progress from 0 to 1 along half a cosine."""
    return last + (first - last) / 2 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Cyclic:
    """To and fro between a low learning rate and the recipe's in straight lines: torch's CyclicLR in its mode "triangular"."""

    kind: str = field(default="cyclic", init=False)
    base: float = 0.1  # the low learning rate, a share of the recipe's
    up: int = 2000  # steps from low to high, and as many back
    low: float | None = None  # momentum at the peak; None: the recipe's, always
    high: float | None = None  # momentum at the low rate

    def __post_init__(self) -> None:
        checks.number(self, "base", 0, 1)
        checks.whole(self, "up", 1, 10**7)
        for name in ("low", "high"):
            value = getattr(self, name)
            checks.check(self, name, value is None or checks.is_number(value, 0, 0.999), "None or a number from 0 to 0.999")
        checks.check(self, "high", (self.low is None) == (self.high is None), "given where low is, and only there")

    def at(self, moment: Moment) -> float:
        """Return the share of the recipe's learning rate at a step."""
        return self.base + (1 - self.base) * self._height(moment)

    def momentum(self, moment: Moment) -> float | None:
        """Return the momentum at a step, None where it stays the recipe's."""
        return None if self.low is None or self.high is None else self.high - (self.high - self.low) * self._height(moment)

    def _height(self, moment: Moment) -> float:
        """Return how high between its ends the learning rate stands, from 0 to 1."""
        place = moment.done / self.up % 2
        return place if place <= 1 else 2 - place


@dataclass(frozen=True)
class Plateau:
    """The learning rate times a factor where the steering accuracy has not grown for a while: torch's ReduceLROnPlateau, mode "max"."""

    kind: str = field(default="plateau", init=False)
    factor: float = 0.1
    patience: int = 10  # epochs without a new best that are borne
    threshold: float = 1e-4  # by what share of itself the best must be passed to count as passed

    def __post_init__(self) -> None:
        checks.number(self, "factor", 1e-6, 1)
        checks.whole(self, "patience", 0, 1000)
        checks.number(self, "threshold", 0, 1)

    def at(self, moment: Moment) -> float:
        """Return the share of the recipe's learning rate at a step, from the whole history of what steers it."""
        best, n_bad, share = -math.inf, 0, 1.0
        for accuracy in moment.steered:
            if best == -math.inf or accuracy > best * (1 + self.threshold):
                best, n_bad = accuracy, 0
            else:
                n_bad += 1
            if n_bad > self.patience:
                share, n_bad = share * self.factor, 0
        return share

    def momentum(self, moment: Moment) -> None:
        """Return None: the momentum stays the recipe's."""


KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (Stepped, OneCycle, Cyclic, Plateau)}
