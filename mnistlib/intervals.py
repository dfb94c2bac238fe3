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


def wilson(k: int, n: int) -> Bounds:
    """Return Wilson's two-sided interval of a share seen as `k` of `n`."""
    z = special.ndtri((1 + LEVEL) / 2)
    share = k / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


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


@dataclass(frozen=True)
class Paired:
    """Two nets on the same images: how many images one alone gets wrong, and how surprising that split is."""

    only_a: int
    only_b: int
    p: float  # exact McNemar, two-sided


def mcnemar(wrong_a: np.ndarray, wrong_b: np.ndarray) -> Paired:
    """Compare one seed with one other, each [n_images], where both judge the same images."""
    only_a, only_b = int((wrong_a & ~wrong_b).sum()), int((wrong_b & ~wrong_a).sum())
    p = min(1.0, 2 * special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)) if only_a + only_b else 1.0
    return Paired(only_a, only_b, float(p))


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


def student(values: Sequence[float] | np.ndarray) -> Bounds | None:
    """Return Student's interval of the mean of a few values; None for fewer than two."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return None
    half = float(special.stdtrit(len(values) - 1, (1 + LEVEL) / 2) * values.std(ddof=1) / math.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def deviation(sd: float, freedom: int) -> Bounds:
    """Return the interval of a standard deviation estimated with so many degrees of freedom, values taken as normal."""
    low, high = (float(special.chdtri(freedom, tail)) for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))  # the survival function's inverse
    return sd * math.sqrt(freedom / low), sd * math.sqrt(freedom / high)


def prediction(values: Sequence[float] | np.ndarray) -> Bounds | None:
    """Return the interval that one more value like these would fall into, taken as normal; None for fewer than two values."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return None
    half = float(special.stdtrit(len(values) - 1, (1 + LEVEL) / 2) * values.std(ddof=1) * math.sqrt(1 + 1 / len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


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
