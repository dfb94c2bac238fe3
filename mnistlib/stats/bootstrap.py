"""The bootstrap over seeds and writers: how far the accuracy of a recipe would move with other seeds and other writers."""

from collections.abc import Sequence

import numpy as np

from mnistlib.data import STUDENTS
from mnistlib.errors import ResultError

LEVEL = 0.95  # of every interval in this package
RESAMPLES = 10_000
_GENERATOR_SEED = 20_210_607  # fixed, so that the same predictions always give the same interval
_BATCH = 1_000  # resamples at a time, which bounds the memory

Bounds = tuple[float, float]


def resample(tables: Sequence[np.ndarray], writers: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the accuracies of recipes under resampling, [RESAMPLES, n_tables].

    A table says which images each seed of one recipe gets wrong, bool [n_seeds, n_images]; all tables are over the same images. Each
    resample draws every recipe's seeds separately and the writers once for all recipes, students and census employees apart. Seeds and
    writers are crossed; drawing both makes the interval a little too wide rather than too narrow (Owen 2007, The pigeonhole bootstrap).
    """
    tables = [np.asarray(table, bool) for table in tables]
    if any(table.ndim != 2 or 0 in table.shape for table in tables):
        raise ResultError("An interval needs at least one seed and one image.")
    if len({table.shape[1] for table in tables}) > 1:
        counts = " and ".join(str(table.shape[1]) for table in tables)
        raise ResultError(f"Recipes can only be compared on the same images; these were evaluated on {counts}.")
    names, writer = np.unique(np.stack([np.asarray(groups) == STUDENTS, np.asarray(writers)]), axis=1, return_inverse=True)
    writer = writer.reshape(-1)  # per image: the place of its writer among all, census employees first
    n_images = np.bincount(writer)
    group_sizes = [int(size) for size in np.bincount(names[0]) if size]
    wrong = [np.stack([np.bincount(writer, weights=row, minlength=len(n_images)) for row in table]).astype(np.int64) for table in tables]
    generator, batches = np.random.default_rng(_GENERATOR_SEED), []
    for _ in range(RESAMPLES // _BATCH):
        drawn = np.concatenate([_draw(generator, size) for size in group_sizes], axis=1)
        columns = []
        for table in wrong:
            n_wrong = (_draw(generator, len(table)) @ table * drawn).sum(1)
            n_all = drawn @ n_images * len(table)
            columns.append((n_all - n_wrong) / n_all)  # one division of whole numbers: an exact 0.994 stays 0.994
        batches.append(np.stack(columns, axis=1))
    return np.concatenate(batches)


def _draw(generator: np.random.Generator, size: int) -> np.ndarray:
    """Return how often each of `size` things is drawn when `size` are drawn with replacement, [_BATCH, size]."""
    return generator.multinomial(size, np.full(size, 1 / size), size=_BATCH)


def percentile_interval(samples: np.ndarray) -> Bounds:
    """Return the interval that holds the middle 95% of resampled values."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def cluster_interval(groups: Sequence[np.ndarray]) -> Bounds:
    """Return the interval of the mean of several groups' means, where whole groups are resampled."""
    means = np.array([np.mean(group) for group in groups])
    generator = np.random.default_rng(_GENERATOR_SEED)
    return percentile_interval(means[generator.integers(0, len(means), (RESAMPLES, len(means)))].mean(1))
