"""Intervals of shares, means and differences, by scipy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special  # not scipy.stats, which takes most of a second to load

from mnistlib.data import STUDENTS

LEVEL = 0.95  # of every interval in this package
POWER = 0.8  # with which a difference counts as one that a comparison can see

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Effect:
    """A mean or a difference of means, and what decides how exactly it is known."""

    value: float
    interval: Bounds  # 95%
    smallest: float  # the smallest true difference that is significant with a probability of 80%
    n_seeds: int  # the fewest of any recipe
    per_seed: float  # variance between single seeds, summed over the recipes: more seeds reduce it
    writers: float = 0.0  # variance between samples of writers: no number of seeds reduces it

    def seeds_for(self, difference: float) -> int | None:
        """Return how many seeds of each recipe would see a true difference of this size with a probability of 80%, None if no number."""
        left = (difference / special.ndtri([(1 + LEVEL) / 2, POWER]).sum()) ** 2 - self.writers
        return max(self.n_seeds, math.ceil(self.per_seed / left)) + 1 if left > 0 else None  # one more: their variance is estimated


def contrast(tables: Sequence[np.ndarray], weights: Sequence[float], writers: np.ndarray, groups: np.ndarray) -> Effect:
    """Return a weighted sum of recipes' accuracies, and how far it would move with other seeds and other writers.

    A table says which images each seed of one recipe gets wrong, bool [n_seeds, n_images]; all tables are over the same images. The
    variance is that between writers, students and census employees apart, plus that between seeds, minus what both count: two-way
    clustering (Cameron, Gelbach and Miller 2011). A recipe with one seed varies over writers alone. Few seeds can be less certain than
    that: where the interval over seeds alone is the wider one, it is returned.
    """
    tables = [np.asarray(table, bool) for table in tables]
    students, writers = np.asarray(groups) == STUDENTS, np.asarray(writers, int)
    names, writer = np.unique(students * (writers.max() + 1) + writers, return_inverse=True)  # of each image the place of its writer
    group = (names > writers.max()).astype(int)  # of each writer
    n, n_images, sizes = writer.size, np.bincount(writer), np.bincount(group)
    value, mean, seeds, twice, squares, per_seed = 0.0, np.zeros(len(n_images)), 0.0, 0.0, 0.0, 0.0
    for table, weight in zip(tables, weights, strict=True):
        n_seeds, accuracy = len(table), (table.size - int(table.sum())) / table.size
        wrong = np.stack([np.bincount(writer[row], minlength=len(n_images)) for row in table])
        parts = weight * ((1 - accuracy) * n_images - wrong) / n  # of each seed's distance from the mean, by writer
        value, mean = value + weight * accuracy, mean + parts.mean(0)
        if n_seeds == 1:
            per_seed += weight**2 * accuracy * (1 - accuracy) / (2 * n)  # a rule of thumb, for the number of seeds alone
            continue
        variance = float(parts.sum(1).var(ddof=1))
        per_seed, seeds, squares = per_seed + variance, seeds + variance / n_seeds, squares + (variance / n_seeds) ** 2 / (n_seeds - 1)
        twice += sum(_variances(parts - parts.mean(0), group, sizes)) / (n_seeds * (n_seeds - 1))
    by_writer = _variances(mean, group, sizes)
    variance = sum(by_writer) + max(seeds - twice, 0.0)  # what seeds add is at least nothing
    of_writers = sum(each**2 / (size - 1) for each, size in zip(by_writer, sizes, strict=True) if each)
    about = {"n_seeds": min(map(len, tables)), "per_seed": per_seed, "writers": max(variance - (seeds or per_seed), 0.0)}
    both = _effect(value, variance, of_writers + squares * (seeds > twice), **about)
    return max(both, _effect(value, seeds, squares, **about), key=lambda effect: effect.interval[1])


def _variances(parts: np.ndarray, group: np.ndarray, sizes: np.ndarray) -> list[float]:
    """Return, for each group of writers, the variance of the sum of what its writers add, summed over the rows."""
    spreads = [parts[..., group == each].var(-1, ddof=1).sum() if size > 1 else 0.0 for each, size in enumerate(sizes)]
    return [float(size * spread) for size, spread in zip(sizes, spreads, strict=True)]


def accuracy(table: np.ndarray, writers: np.ndarray, groups: np.ndarray) -> Effect:
    """Return a recipe's mean accuracy with its interval."""
    return of_share(contrast([table], [1], writers, groups))


def of_share(mean: Effect) -> Effect:
    """Return a mean accuracy with an interval that is symmetric in the logit, because that of a rare error is skewed."""
    if not 0 < mean.value < 1:
        return mean
    middle, half = special.logit(mean.value), (mean.interval[1] - mean.value) / (mean.value * (1 - mean.value))
    low, high = (round(float(special.expit(middle + step)), 9) for step in (-half, half))
    return replace(mean, interval=(low, high))


def welch(a: Sequence[float] | np.ndarray, *b: Sequence[float] | np.ndarray) -> Effect | None:
    """Return the mean of `a`, one value a seed, minus that of `b` if given, with Welch's interval; None where either is a single value."""
    samples = [np.asarray(values, float) for values in (a, *b)]
    n = np.array([len(values) for values in samples])
    if n.min() < 2:
        return None
    variances = np.array([values.var(ddof=1) for values in samples])
    value, parts = samples[0].mean() - sum(values.mean() for values in samples[1:]), variances / n
    return _effect(value, parts.sum(), (parts**2 / (n - 1)).sum(), n_seeds=int(n.min()), per_seed=variances.sum())


def _effect(value: float, variance: float, squares: float, n_seeds: int, per_seed: float, writers: float = 0.0) -> Effect:
    """Return an effect; `squares` sums the squared parts of its variance, each over its degrees of freedom (Satterthwaite 1946)."""
    error, freedom = math.sqrt(variance), variance**2 / squares if squares else 1.0
    half, power = (error * special.stdtrit(freedom, share) for share in ((1 + LEVEL) / 2, POWER))
    # later digits depend on the processor
    value, low, high, smallest = (round(float(each), 9) for each in (value, value - half, value + half, half + power))
    return Effect(value, (low, high), smallest, n_seeds, round(float(per_seed), 15), round(float(writers), 15))


def clopper_pearson(k: int, n: int) -> Bounds:
    """Return the exact interval of a share that was `k` of `n`."""
    low = special.betaincinv(k, n - k + 1, (1 - LEVEL) / 2) if k else 0
    high = special.betaincinv(k + 1, n - k, (1 + LEVEL) / 2) if k < n else 1
    return round(float(low), 9), round(float(high), 9)  # found by iteration: later digits depend on the processor
