"""Intervals and tests: what a count, a mean over seeds or a difference is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special  # a fraction of what scipy.stats takes to import

from mnistlib.data import STUDENTS
from mnistlib.errors import ResultError

LEVEL = 0.95  # of every interval here
RESAMPLES = 10_000  # of the bootstrap
_GENERATOR_SEED = 20_210_607  # fixed: the same figures give the same interval, always
_BATCH = 1_000  # resamples at a time, which bounds the memory

Bounds = tuple[float, float]


def clopper_pearson(k: int, n: int) -> Bounds:
    """Return the exact two-sided interval of a share seen as `k` of `n`."""
    tail = (1 - LEVEL) / 2
    return _lowest(k, n, tail), 1 - _lowest(n - k, n, tail)


def clopper_pearson_lower(k: int, n: int) -> float:
    """Return the exact one-sided lower bound of a share seen as `k` of `n`."""
    return _lowest(k, n, 1 - LEVEL)


def _lowest(k: int, n: int, tail: float) -> float:
    """Return the smallest share under which `k` of `n` or more are seen with a probability of `tail`."""
    return float(special.betaincinv(k, n - k + 1, tail)) if k else 0.0


def welch(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> tuple[float, Bounds | None]:
    """Return the mean of `a` minus that of `b` and Welch's interval of it; no interval where either is a single value."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    mean = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return mean, None
    share_a, share_b = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if share_a + share_b == 0:
        return mean, (mean, mean)
    freedom = (share_a + share_b) ** 2 / (share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1))
    half = float(special.stdtrit(freedom, (1 + LEVEL) / 2) * math.sqrt(share_a + share_b))
    return mean, (mean - half, mean + half)


def deviation(sd: float, freedom: int) -> Bounds:
    """Return the interval of a standard deviation estimated with so many degrees of freedom, values taken as normal."""
    low, high = (float(special.chdtri(freedom, tail)) for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))  # the survival function's inverse
    return sd * math.sqrt(freedom / low), sd * math.sqrt(freedom / high)


def clustered(groups: Sequence[np.ndarray]) -> Bounds:
    """Return the interval of the mean of several groups' means, groups drawn whole: their means vary by what is in them, too."""
    means = np.array([np.mean(group) for group in groups])
    generator = np.random.default_rng(_GENERATOR_SEED)
    return middle(means[generator.integers(0, len(means), (RESAMPLES, len(means)))].mean(1))


def apart(values: Sequence[float] | np.ndarray, distance: float) -> float:
    """Return the chance that two more values like these, taken as normal, differ by a distance or more."""
    sd = float(np.std(values, ddof=1)) * math.sqrt(2)
    return 2 * float(special.stdtr(len(values) - 1, -abs(distance) / sd)) if sd else float(distance == 0)


def one_more(mean: float, sd: float, freedom: float, n: int) -> Bounds:
    """Return the interval that one more value would fall into, from the mean of `n` and a standard deviation, taken as normal."""
    half = float(special.stdtrit(freedom, (1 + LEVEL) / 2)) * sd * math.sqrt(1 + 1 / n)
    return mean - half, mean + half


def moderated(variances: Sequence[float], freedoms: Sequence[int]) -> list[tuple[float, float]]:
    """Return each of several variances drawn towards what is common to them, and its degrees of freedom.

    How far is decided by how much they differ beyond chance (Smyth 2004, Linear models and empirical Bayes methods, as in limma). One
    that is not known (NaN, no degree of freedom) becomes the common one; one of zero says nothing about what is common, which errs on
    the wide side. With fewer than two to go by, each stays as it is.
    """
    known = [(v, f) for v, f in zip(variances, freedoms, strict=True) if f > 0 and v > 0]
    if len(known) < 2:
        return [(v, max(f, 1)) for v, f in zip(variances, freedoms, strict=True)]
    v, f = np.array(known).T
    logs = np.log(v) - special.digamma(f / 2) + np.log(f / 2)
    beyond = float(logs.var(ddof=1) - special.polygamma(1, f / 2).mean())
    prior = 2 * _inverse_trigamma(beyond) if beyond > 0 else 1e6
    common = math.exp(float(logs.mean()) + float(special.digamma(prior / 2)) - math.log(prior / 2))
    return [
        ((prior * common + freedom * variance) / (prior + freedom), prior + freedom) if freedom > 0 else (common, prior)
        for variance, freedom in zip(variances, freedoms, strict=True)
    ]


def _inverse_trigamma(value: float) -> float:
    """Return the number whose trigamma function is `value`, by Newton's method."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        x += trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
    return x


def resample(tables: Sequence[np.ndarray], writers: np.ndarray | None, groups: np.ndarray | None) -> np.ndarray:
    """Return the accuracies of recipes under resampling, [RESAMPLES, n_tables].

    A table is one recipe's mistakes, bool [n_seeds, n_images], all tables over the same images. Each resample draws every
    recipe's seeds separately and the writers once for all, students and census employees apart; single images where no
    writers are known. Seeds and writers cross, and drawing both errs on the wide side (Owen, The pigeonhole bootstrap).
    """
    tables = [np.asarray(table, bool) for table in tables]
    if any(table.ndim != 2 or 0 in table.shape for table in tables):
        raise ResultError("An interval needs at least one seed and one image.")
    if len({table.shape[1] for table in tables}) > 1:
        counts = " and ".join(str(table.shape[1]) for table in tables)
        raise ResultError(f"Recipes can only be compared on the same images; these were judged on {counts}.")
    units = _images(np.concatenate(tables)) if writers is None else _writers(np.concatenate(tables), writers, groups)
    starts = np.cumsum([len(table) for table in tables])[:-1]
    mistakes = np.split(units.mistakes, starts)
    generator = np.random.default_rng(_GENERATOR_SEED)
    batches = [_draw(generator, units, mistakes, min(_BATCH, RESAMPLES - done)) for done in range(0, RESAMPLES, _BATCH)]
    return np.concatenate(batches)


def middle(samples: np.ndarray) -> Bounds:
    """Return the interval that holds the middle of the resampled values, as much as LEVEL says."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class _Units:
    """What is drawn: writers, or images that all seeds judge alike, which are counted once with their copies."""

    mistakes: np.ndarray  # [n_seeds, n_units]: each seed's mistakes in one copy of the unit
    images: np.ndarray  # [n_units]: images in one copy
    copies: np.ndarray  # [n_units]
    strata: np.ndarray  # [n_units]: units are drawn within their stratum only; in ascending order


def _writers(wrong: np.ndarray, writers: np.ndarray, groups: np.ndarray | None) -> _Units:
    """Return one unit per writer, ordered by group."""
    students = np.zeros(len(writers), bool) if groups is None else np.asarray(groups) == STUDENTS
    pairs, unit = np.unique(np.stack([students, np.asarray(writers)]), axis=1, return_inverse=True)
    unit, n_units = unit.reshape(-1), pairs.shape[1]
    mistakes = np.stack([np.bincount(unit, weights=row, minlength=n_units) for row in wrong]).astype(np.int64)
    return _Units(mistakes, np.bincount(unit), np.ones(n_units, np.int64), pairs[0])


def _images(wrong: np.ndarray) -> _Units:
    """Return one unit per pattern of which seeds are wrong: to draw patterns by their copies is to draw images, and fast."""
    patterns, copies = np.unique(wrong, axis=1, return_counts=True)
    return _Units(patterns.astype(np.int64), np.ones_like(copies), copies, np.zeros_like(copies))


def _draw(generator: np.random.Generator, units: _Units, mistakes: list[np.ndarray], n: int) -> np.ndarray:
    """Return the accuracies in `n` resamples, [n, n_tables]."""
    drawn = np.concatenate([_choose(generator, units.copies[units.strata == stratum], n) for stratum in np.unique(units.strata)], axis=1)
    columns = []
    for table in mistakes:
        seeds = _choose(generator, np.ones(len(table), np.int64), n)
        wrong = (seeds @ table * drawn).sum(1)
        judged = drawn @ units.images * len(table)
        columns.append((judged - wrong) / judged)  # one division of whole numbers: an exact 0.994 stays 0.994
    return np.stack(columns, axis=1)


def _choose(generator: np.random.Generator, copies: np.ndarray, n: int) -> np.ndarray:
    """Return how often each unit is drawn when as many are drawn as there are copies, [n, n_units]."""
    return generator.multinomial(copies.sum(), copies / copies.sum(), size=n)
