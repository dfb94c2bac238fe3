"""What the figures of a result are worth: summaries, differences, verdicts, mistakes and claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mnistlib import formatting
from mnistlib.errors import ResultError
from mnistlib.recipe import HELD_EPOCHS, MAX_EPOCHS, MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.stats import intervals
from mnistlib.stats.intervals import Bounds


@dataclass(frozen=True)
class Summary:
    """A recipe's last epoch over its seeds; accuracies are fractions."""

    n_seeds: int
    final_mean: float
    final_sd: float | None  # over seeds, n - 1 in the divisor; None for one seed
    final_min: float
    final_max: float
    n_pass: int  # seeds at or above MIN_ACCURACY at the last epoch
    pass_interval: Bounds  # of the share of all seeds that would pass: Clopper-Pearson, 95% two-sided
    pass_lower: float  # 95% one-sided
    n_held: int  # seeds at or above MIN_ACCURACY in each of the last HELD_EPOCHS epochs; of a net kept from an earlier one, up to that
    interval: Bounds  # of final_mean, 95%
    interval_by: str  # what was resampled for it: "seeds and writers", "seeds and images", "writers" or "images"


@dataclass(frozen=True)
class Difference:
    """Accuracy minus that of an earlier recipe on the same images."""

    from_: str  # the earlier step's name
    mean: float
    interval: Bounds  # 95%: seeds resampled separately, writers jointly

    @property
    def direction(self) -> str:
        """Return "better" or "worse" where the interval excludes zero, otherwise "unclear"."""
        return "better" if self.interval[0] > 0 else "worse" if self.interval[1] < 0 else "unclear"


@dataclass(frozen=True)
class Verdict:
    """What a result says about the exercise's limits."""

    parameters: str  # "kept" or "broken"
    epochs: str  # "kept" or "broken"
    accuracy: str  # "shown", "reached" or "missed"
    held: int  # seeds that keep the target over the last HELD_EPOCHS epochs


@dataclass(frozen=True)
class Claim:
    """A sentence of an Analysis, whether the figures support it, and the figures."""

    claim: str
    supported: bool
    figures: str


def summarise(
    curves: Sequence[Sequence[float]], wrong: np.ndarray, writers: np.ndarray | None = None, groups: np.ndarray | None = None
) -> Summary:
    """Summarise a recipe's seeds.

    `curves` holds each seed's accuracy per epoch, `wrong` its mistakes at the last one, bool [n_seeds, n_images]. A seed
    that diverged counts like any other. A run shorter than HELD_EPOCHS holds nothing yet.
    """
    n_seeds, n_images = wrong.shape
    if len(curves) != n_seeds or n_seeds == 0:
        raise ResultError(f"There are {len(curves)} curves for the predictions of {n_seeds} seeds; one curve per seed is needed.")
    right = [_counts(curve, n_images) for curve in curves]
    final = np.array([counts[-1] for counts in right])
    if np.abs(final - (~wrong).sum(1)).max() > max(1, n_images // 2_000):  # another machine's rounding may tip an image or two
        raise ResultError("The curves end at other accuracies than the predictions give; both must come from the last epoch.")
    reached = [[count / n_images >= MIN_ACCURACY for count in counts] for counts in right]
    n_pass = sum(row[-1] for row in reached)
    unit = "images" if writers is None else "writers"
    return Summary(
        n_seeds=n_seeds,
        final_mean=int(final.sum()) / (n_seeds * n_images),
        final_sd=float(final.std(ddof=1)) / n_images if n_seeds > 1 else None,
        final_min=int(final.min()) / n_images,
        final_max=int(final.max()) / n_images,
        n_pass=n_pass,
        pass_interval=intervals.clopper_pearson(n_pass, n_seeds),
        pass_lower=intervals.clopper_pearson_lower(n_pass, n_seeds),
        n_held=sum(len(row) >= HELD_EPOCHS and all(row[-HELD_EPOCHS:]) for row in reached),
        interval=intervals.middle(intervals.resample([wrong], writers, groups)[:, 0]),
        interval_by=f"seeds and {unit}" if n_seeds > 1 else unit,
    )


def sd(values: Sequence[float]) -> float | None:
    """Return the standard deviation of a few values, n - 1 in the divisor; None for a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _counts(curve: Sequence[float], n_images: int) -> list[int]:
    """Return accuracies as numbers of right answers, which add up and compare exactly where fractions do not."""
    if not len(curve) or not np.isfinite(curve).all():
        raise ResultError("A curve needs at least one epoch, and a finite accuracy in each.")
    counts = [round(float(accuracy) * n_images) for accuracy in curve]
    for accuracy, count in zip(curve, counts, strict=True):
        if abs(accuracy * n_images - count) > 0.01:
            raise ResultError(f"An accuracy of {accuracy!r} is no whole number of right answers among {n_images} images.")
    return counts


def difference(
    wrong: np.ndarray, wrong_before: np.ndarray, writers: np.ndarray | None, groups: np.ndarray | None, before: str
) -> Difference:
    """Compare two recipes that judge the same images; positive means more accurate than `before`."""
    samples = intervals.resample([wrong, wrong_before], writers, groups)
    return Difference(before, float(wrong_before.mean() - wrong.mean()), intervals.middle(samples[:, 0] - samples[:, 1]))


def verdict(n_parameters: int, epochs: int, summary: Summary) -> Verdict:
    """Judge a result by the exercise's limits."""
    above = "shown" if summary.interval[0] > MIN_ACCURACY else "reached"
    return Verdict(
        parameters="kept" if n_parameters < MAX_PARAMETERS else "broken",
        epochs="kept" if epochs <= MAX_EPOCHS else "broken",
        accuracy=above if summary.final_mean >= MIN_ACCURACY else "missed",
        held=summary.n_held,
    )


def claim_better(difference: Difference) -> Claim:
    """Claim that a step is more accurate than the one it is compared with: supported where the interval excludes zero."""
    figures = f"{formatting.points(difference.mean)} ({formatting.points_interval(difference.interval)})"
    return Claim(f"It is more accurate than {difference.from_}.", difference.direction == "better", figures)


def claim_held(summary: Summary) -> Claim:
    """Claim that every seed keeps the target over the last epochs."""
    figures = f"{formatting.of(summary.n_held, summary.n_seeds)} seeds"
    return Claim("Every seed keeps the target over the last epochs.", summary.n_held == summary.n_seeds, figures)


def gaps(train_clean: Sequence[float], final: Sequence[float]) -> np.ndarray:
    """Return each seed's generalisation gap: accuracy on the clean training images minus that on the judged ones."""
    return np.asarray(train_clean, float) - np.asarray(final, float)


def claim_narrower(gap: np.ndarray, gap_before: np.ndarray, before: str) -> Claim:
    """Claim that the generalisation gap is narrower than before; supported where Welch's interval over the seeds is below zero."""
    figures = f"{formatting.points(float(gap.mean()))} against {formatting.points(float(gap_before.mean()))}"
    claim = f"The gap between clean training and test accuracy is narrower than in {before}."
    return _lower(claim, gap, gap_before, figures, formatting.points_interval)


def claim_quicker(seconds: Sequence[float], seconds_before: Sequence[float], before: str) -> Claim:
    """Claim that a seed trains in less time than before; supported where Welch's interval over the seeds is below zero."""
    now, then = np.asarray(seconds, float), np.asarray(seconds_before, float)
    figures = f"{formatting.seconds(float(now.mean()))} against {formatting.seconds(float(then.mean()))}"
    return _lower(f"A seed trains in less time than in {before}.", now, then, figures, formatting.seconds_interval)


def _lower(claim: str, a: np.ndarray, b: np.ndarray, figures: str, text: Callable[[Bounds], str]) -> Claim:
    """Return the claim that the mean of `a` over its seeds is lower than that of `b`."""
    _, bounds = intervals.welch(a, b)
    if bounds is None:
        return Claim(claim, False, f"{figures}; one seed shows no spread to judge it by")
    return Claim(claim, bounds[1] < 0, f"{figures} (difference {text(bounds)})")
