"""The seeds of a recipe, summarised: accuracy, loss and calibration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from mnistlib.errors import ResultError
from mnistlib.recipe import HELD_EPOCHS, MIN_ACCURACY
from mnistlib.stats import intervals
from mnistlib.stats.intervals import Bounds, Effect

_BINS = 15  # of the calibration error, equally wide


@dataclass(frozen=True)
class Summary:
    """What a recipe's seeds reach at the end: in the last epoch, or in the one whose weights were kept. Accuracies are fractions."""

    n_seeds: int
    final_mean: float
    final_sd: float | None  # over seeds, n - 1 in the divisor; None for one seed
    final_min: float
    final_max: float
    accuracy: Effect  # final_mean, for other seeds and other writers; for one seed, other writers alone
    seed_interval: Bounds | None  # of final_mean, 95%: the same images, other seeds; None for one seed
    n_pass: int  # seeds at or above MIN_ACCURACY at the end
    n_held: int  # seeds at or above MIN_ACCURACY in each of the last HELD_EPOCHS epochs
    lowest_mean: float | None  # mean over the seeds in the worst of the last HELD_EPOCHS epochs; None in a shorter run
    losses: tuple[float, ...]  # cross-entropy on the evaluation images, by seed
    calibration_errors: tuple[float, ...]  # expected calibration error, by seed

    @property
    def interval(self) -> Bounds:
        """Return the interval of the mean for other seeds and other writers."""
        return self.accuracy.interval


def summarise(
    curves: Sequence[Sequence[float]],
    wrong: np.ndarray,
    writers: np.ndarray,
    groups: np.ndarray,
    confidences: np.ndarray,
    losses: Sequence[float],
) -> Summary:
    """Summarise the seeds of a recipe.

    `curves` holds each seed's accuracy per epoch up to the final one; `wrong` which images it gets wrong then, bool [n_seeds, n_images],
    and `confidences` the probabilities of its predictions. A run shorter than HELD_EPOCHS does not count as held.
    """
    n_seeds, n_images = wrong.shape
    if len(curves) != n_seeds or n_seeds == 0:
        raise ResultError(f"There are {len(curves)} curves for the predictions of {n_seeds} seeds; one curve per seed is needed.")
    correct = [np.rint(np.array(curve, float) * n_images).astype(int).tolist() for curve in curves]  # whole numbers compare exactly
    final = np.array([counts[-1] for counts in correct])
    if np.abs(final - (~wrong).sum(1)).max() > max(1, n_images // 2_000):  # rounding on another processor may change an image or two
        raise ResultError("The curves and the predictions end at different accuracies; both must come from the final epoch.")
    reached = [[count / n_images >= MIN_ACCURACY for count in counts] for counts in correct]
    last = [counts[-HELD_EPOCHS:] for counts in correct if len(counts) >= HELD_EPOCHS]
    by_seed = intervals.welch(final / n_images)
    return Summary(
        n_seeds=n_seeds,
        final_mean=int(final.sum()) / (n_seeds * n_images),
        final_sd=float(final.std(ddof=1)) / n_images if n_seeds > 1 else None,
        final_min=int(final.min()) / n_images,
        final_max=int(final.max()) / n_images,
        accuracy=intervals.accuracy(wrong, writers, groups),
        seed_interval=by_seed and intervals.of_share(by_seed).interval,
        n_pass=sum(row[-1] for row in reached),
        n_held=sum(len(row) >= HELD_EPOCHS and all(row[-HELD_EPOCHS:]) for row in reached),
        lowest_mean=min(map(sum, zip(*last, strict=True))) / (n_seeds * n_images) if len(last) == n_seeds else None,
        losses=tuple(map(float, losses)),
        calibration_errors=tuple(calibration_error(*seed) for seed in zip(wrong, confidences, strict=True)),
    )


def calibration_error(wrong: np.ndarray, confidences: np.ndarray) -> float:
    """Return the expected calibration error of one seed: accuracy against confidence in each bin (Guo et al. 2017)."""
    bins = np.ceil(np.asarray(confidences, float) * _BINS).astype(int)
    apart = np.bincount(bins, weights=~wrong) - np.bincount(bins, weights=confidences)
    return round(float(np.abs(apart).sum()) / len(wrong), 9)


def per_epoch(runs: Sequence[Any], name: str) -> np.ndarray:
    """Return one value per seed and epoch of runs or histories, [n_seeds, n_epochs]; epochs that a seed has not reached are NaN."""
    return np.array(list(zip_longest(*(getattr(getattr(run, "history", run), name) for run in runs), fillvalue=math.nan)), float).T
