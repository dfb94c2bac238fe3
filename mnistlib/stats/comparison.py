"""What follows from the accuracies: the difference from another recipe, the verdict on the target, the claims of an Analysis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mnistlib import formatting
from mnistlib.recipe import MAX_EPOCHS, MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.stats import bootstrap, intervals
from mnistlib.stats.bootstrap import Bounds
from mnistlib.stats.summary import Summary


@dataclass(frozen=True)
class Difference:
    """Accuracy minus that of an earlier recipe on the same images."""

    from_: str  # the earlier step's name
    mean: float
    interval: Bounds  # 95%: seeds resampled separately, writers jointly

    @property
    def direction(self) -> str:
        """Return "better" or "worse" where the interval excludes zero, otherwise "inconclusive"."""
        return "better" if self.interval[0] > 0 else "worse" if self.interval[1] < 0 else "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """Whether a result keeps the limits of the exercise and reaches its target."""

    parameters: str  # "within" or "over" the limit
    epochs: str  # "within" or "over" the limit
    accuracy: str  # "significantly above", "at or above" or "below" the target
    held: int  # seeds that are at or above the target in each of the last HELD_EPOCHS epochs


@dataclass(frozen=True)
class Claim:
    """A sentence of an Analysis, whether the figures support it, and the figures."""

    claim: str
    supported: bool
    figures: str


def difference(wrong: np.ndarray, wrong_before: np.ndarray, writers: np.ndarray, groups: np.ndarray, before: str) -> Difference:
    """Compare two recipes on the same images, bool [n_seeds, n_images]; positive means more accurate than `before`."""
    samples = bootstrap.resample([wrong, wrong_before], writers, groups)
    interval = bootstrap.percentile_interval(samples[:, 0] - samples[:, 1])
    return Difference(before, float(wrong_before.mean() - wrong.mean()), interval)


def verdict(n_parameters: int, epochs: int, summary: Summary) -> Verdict:
    """Compare a result with the limits and the target of the exercise."""
    above = "significantly above" if summary.interval[0] > MIN_ACCURACY else "at or above"
    return Verdict(
        parameters="within" if n_parameters < MAX_PARAMETERS else "over",
        epochs="within" if epochs <= MAX_EPOCHS else "over",
        accuracy=above if summary.final_mean >= MIN_ACCURACY else "below",
        held=summary.n_held,
    )


def claim_held(summary: Summary) -> Claim:
    """Claim that every seed is at or above the target in each of the last epochs."""
    figures = f"{formatting.of(summary.n_held, summary.n_seeds)} seeds"
    return Claim("Every seed keeps the target over the last epochs.", summary.n_held == summary.n_seeds, figures)


def claim_lower(
    claim: str, a: Sequence[float], b: Sequence[float], value: Callable[[float], str], interval: Callable[[Bounds], str]
) -> Claim:
    """Claim that the mean of `a` is lower than that of `b`, values of one seed each; supported where Welch's interval is below zero."""
    _, bounds = intervals.welch(a, b)
    figures = f"{value(float(np.mean(a)))} against {value(float(np.mean(b)))}"
    if bounds is None:
        return Claim(claim, False, f"{figures}; a single seed has no spread to compare with")
    return Claim(claim, bounds[1] < 0, f"{figures} (difference {interval(bounds)})")
