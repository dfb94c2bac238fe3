"""What follows from the accuracies: the difference from another recipe, the verdict on the target, the claims of an Analysis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mnistlib import formatting
from mnistlib.formatting import Unit
from mnistlib.recipe import MAX_EPOCHS, MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.stats import intervals
from mnistlib.stats.intervals import Bounds, Effect
from mnistlib.stats.summary import Summary

MARGIN = 0.001  # of "no less accurate": 10 images of 10,000, fixed beforehand


@dataclass(frozen=True)
class Difference:
    """Accuracy minus that of an earlier recipe on the same images."""

    from_: str  # the earlier step's name
    effect: Effect  # for other seeds and other writers
    seed_interval: Bounds | None  # 95%: the same images, other seeds; None where one of the recipes has a single seed


@dataclass(frozen=True)
class Verdict:
    """Whether a result keeps the limits of the exercise and reaches its target."""

    parameters: str  # "within" or "over" the limit
    epochs: str  # "within" or "over" the limit
    accuracy: str  # "significantly above", "at or above" or "below" the target
    held: str  # "held" where the mean is at or above the target in each of the last HELD_EPOCHS epochs, otherwise "not held"


@dataclass(frozen=True)
class Claim:
    """A sentence of an Analysis, its outcome, and the figures that decide it."""

    claim: str
    outcome: str  # "supported", "refuted", "inconclusive" or "no comparison"
    figures: str
    effect: Effect | None = None  # in fractions of the images, or in the unit of the figures


def difference(wrong: np.ndarray, wrong_before: np.ndarray, writers: np.ndarray, groups: np.ndarray, before: str) -> Difference:
    """Compare two recipes on the same images, bool [n_seeds, n_images]; positive means more accurate than `before`."""
    by_seed = intervals.welch(wrong_before.mean(1), wrong.mean(1))
    return Difference(before, intervals.contrast([wrong, wrong_before], [1, -1], writers, groups), by_seed and by_seed.interval)


def verdict(n_parameters: int, epochs: int, summary: Summary) -> Verdict:
    """Compare a result with the limits and the target of the exercise."""
    above = "significantly above" if summary.interval[0] > MIN_ACCURACY else "at or above"
    return Verdict(
        parameters="within" if n_parameters < MAX_PARAMETERS else "over",
        epochs="within" if epochs <= MAX_EPOCHS else "over",
        accuracy=above if summary.final_mean >= MIN_ACCURACY else "below",
        held="held" if (summary.lowest_mean or 0) >= MIN_ACCURACY else "not held",
    )


def judge(claim: str, effect: Effect, figures: str, unit: Unit, threshold: float = 0.0, lower: bool = False) -> Claim:
    """Decide whether an effect is above a threshold, or `lower`: supported or refuted where its whole interval is on one side.

    A single seed decides nothing. An inconclusive claim says how large an effect it could see (power 80%), and how many seeds would
    decide it.
    """
    above, below = effect.interval[0] > threshold, effect.interval[1] < threshold
    if effect.n_seeds > 1 and (above or below):
        return Claim(claim, "supported" if below == lower else "refuted", figures, effect)
    n = effect.seeds_for(effect.value - threshold)
    seeds = f"about {formatting.count(n)} seeds would decide it" if n else "more seeds cannot decide it, the images have too few writers"
    seen = f"it could have detected {formatting.amount(unit, effect.smallest)} or more (power 80%)"
    why = seen if effect.n_seeds > 1 else "a single seed decides nothing"
    return Claim(claim, "inconclusive", f"{figures}; {why}; if the true value is the measured one, {seeds}", effect)


def lower(claim: str, unit: Unit, now: Sequence[float], earlier: Mapping[str, Sequence[float]]) -> Claim:
    """Claim that the mean of values of one seed each is lower than in the first of some earlier steps, by Welch's interval."""
    effects, texts = {step: intervals.welch(now, values) for step, values in earlier.items()}, []
    for step, effect in effects.items():
        difference = f" (difference, other seeds: {formatting.change(unit, *effect.interval)})" if effect else ""
        texts.append(f"{formatting.amount(unit, float(np.mean(earlier[step])))} in {step}{difference}")
    figures = f"{formatting.amount(unit, float(np.mean(now)))} against {formatting.listed(texts)}"
    (step, effect), *_ = effects.items()
    if effect is None:
        return Claim(f"{claim} in {step}.", "inconclusive", f"{figures}; a single seed has no spread, at least two of each are needed")
    return judge(f"{claim} in {step}.", effect, figures, unit, lower=True)


def figures(difference: Difference) -> str:
    """Return a difference in images of 10,000 with its two intervals."""
    value, plain = formatting.change(formatting.IMAGES, difference.effect.value), formatting.IMAGES._replace(name="")
    by_seed = f"; the same images, other seeds: {formatting.change(plain, *difference.seed_interval)}" if difference.seed_interval else ""
    return f"{value} of 10,000 (other seeds and other writers: {formatting.change(plain, *difference.effect.interval)}{by_seed})"


def share(k: int, n: int) -> str:
    """Return how many of the seeds do something, with the interval of the share of all seeds that would."""
    return f"{formatting.of(k, n)} (95% interval {formatting.interval(intervals.clopper_pearson(k, n), 0)}, Clopper-Pearson)"
