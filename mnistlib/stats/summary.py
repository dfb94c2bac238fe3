"""The accuracies of a recipe over its seeds, summarised."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnistlib.errors import ResultError
from mnistlib.recipe import HELD_EPOCHS, MIN_ACCURACY
from mnistlib.stats import bootstrap, intervals
from mnistlib.stats.bootstrap import Bounds


@dataclass(frozen=True)
class Summary:
    """The final accuracies of a recipe's seeds, as fractions; final is the last epoch, or the one whose weights were kept."""

    n_seeds: int
    final_mean: float
    final_sd: float | None  # over seeds, n - 1 in the divisor; None for one seed
    final_min: float
    final_max: float
    n_pass: int  # seeds at or above MIN_ACCURACY at the end
    pass_interval: Bounds  # of the share of all seeds that would pass: Clopper-Pearson, 95% two-sided
    pass_lower: float  # 95% one-sided
    n_held: int  # seeds at or above MIN_ACCURACY in each of the last HELD_EPOCHS epochs
    interval: Bounds  # of final_mean, 95%
    interval_by: str  # what was resampled for it: "seeds and writers", or "writers" for a single seed


def summarise(curves: Sequence[Sequence[float]], wrong: np.ndarray, writers: np.ndarray, groups: np.ndarray) -> Summary:
    """Summarise the seeds of a recipe.

    `curves` holds each seed's accuracy per epoch up to the final one, `wrong` which images it gets wrong then, bool [n_seeds, n_images].
    A seed that diverged counts like any other. A run shorter than HELD_EPOCHS does not count as held.
    """
    n_seeds, n_images = wrong.shape
    if len(curves) != n_seeds or n_seeds == 0:
        raise ResultError(f"There are {len(curves)} curves for the predictions of {n_seeds} seeds; one curve per seed is needed.")
    correct = [_counts(curve, n_images) for curve in curves]
    final = np.array([counts[-1] for counts in correct])
    if np.abs(final - (~wrong).sum(1)).max() > max(1, n_images // 2_000):  # rounding on another processor may change an image or two
        raise ResultError("The curves and the predictions end at different accuracies; both must come from the final epoch.")
    reached = [[count / n_images >= MIN_ACCURACY for count in counts] for counts in correct]
    n_pass = sum(row[-1] for row in reached)
    return Summary(
        n_seeds=n_seeds,
        final_mean=int(final.sum()) / (n_seeds * n_images),
        final_sd=float(final.std(ddof=1)) / n_images if n_seeds > 1 else None,
        final_min=int(final.min()) / n_images,
        final_max=int(final.max()) / n_images,
        n_pass=n_pass,
        pass_interval=intervals.clopper_pearson(n_pass, n_seeds),
        pass_lower=intervals.clopper_pearson(n_pass, n_seeds, "greater")[0],
        n_held=sum(len(row) >= HELD_EPOCHS and all(row[-HELD_EPOCHS:]) for row in reached),
        interval=bootstrap.percentile_interval(bootstrap.resample([wrong], writers, groups)[:, 0]),
        interval_by="seeds and writers" if n_seeds > 1 else "writers",
    )


def _counts(curve: Sequence[float], n_images: int) -> list[int]:
    """Return accuracies as numbers of correct images, which add up and compare exactly where fractions do not."""
    if not len(curve) or not np.isfinite(curve).all():
        raise ResultError("A curve needs at least one epoch, and a finite accuracy in each.")
    correct = np.array(curve, float) * n_images
    counts = correct.round()
    if np.abs(correct - counts).max() > 0.01:
        raise ResultError(f"Accuracies of {list(curve)} are not all whole numbers of correct images among {n_images}.")
    return counts.astype(int).tolist()
