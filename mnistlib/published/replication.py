"""How published claims stand beside seeds of the same recipes: like with like, and what a claim is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mnistlib.errors import ResultError
from mnistlib.published import registry
from mnistlib.published.registry import Claim, Row
from mnistlib.report.result import Result
from mnistlib.stats import intervals
from mnistlib.stats.intervals import Bounds


@dataclass(frozen=True)
class Standing:
    """A row's claim and its measurement; accuracies are fractions of the test images."""

    row: Row
    result: Result
    bests: tuple[float, ...]  # each seed's best epoch, chosen on the test set
    lasts: tuple[float, ...]  # each seed's last epoch
    one_more_best: Bounds | None = None  # where one further seed's best epoch would lie with a chance of 95%, set by `beside`
    one_more_last: Bounds | None = None  # and its last epoch

    @property
    def luckiest(self) -> int:
        """Return the place of the seed with the best epoch of all, the first where several have it."""
        return int(np.argmax(self.bests))

    @property
    def best(self) -> float:
        """Return the best epoch of the luckiest seed: what is left to report when both are chosen on the test set."""
        return self.bests[self.luckiest]

    @property
    def its_last(self) -> float:
        """Return that seed's last epoch."""
        return self.lasts[self.luckiest]

    @property
    def mean(self) -> float:
        """Return the mean of all seeds' last epochs."""
        return self.result.summary.final_mean

    @property
    def by_epoch(self) -> float:
        """Return what choosing the best epoch adds to a seed, on average."""
        return float(np.mean(self.bests) - np.mean(self.lasts))

    @property
    def by_seed(self) -> float:
        """Return by how much the luckiest seed's best epoch is above the mean of the seeds' best epochs."""
        return float(self.best - np.mean(self.bests))

    @property
    def leaks(self) -> bool:
        """Say whether the recipe was steered by the test images."""
        return self.row.recipe.steering is not None and self.row.recipe.steering.by == "judged"

    def place(self, best: bool = True) -> str:
        """Return "inside", "above" or "below": where the claim lies against one further seed; "" where nothing was claimed.

        A claim of at least so much that any such seed would keep is "kept" instead of "below".
        """
        claim, bounds = self.row.claim, self.one_more_best if best else self.one_more_last
        value = None if claim is None else claim.best if best else claim.final
        if value is None or bounds is None:
            return ""
        below = "kept" if claim.least else "below"
        return "above" if value > bounds[1] else below if value < bounds[0] else "inside"


def comparable(row: Row, result: Result) -> bool:
    """Say whether a result is a full run of a row's present recipe, judged on the test images."""
    return result.headline and result.recipe == row.recipe


def of(row: Row, result: Result) -> Standing:
    """Return the standing of a row from its result; raise ResultError where the two are not comparable."""
    if not comparable(row, result):
        raise ResultError(f"The result of {row.name} is no full run of its recipe judged on the test images; `make published` makes one.")
    bests = tuple(max(run.test_accuracy) for run in result.runs)
    return Standing(row, result, bests, tuple(run.final for run in result.runs))


def beside(standings: Sequence[Standing]) -> list[Standing]:
    """Return standings with the range of one seed more, whose spread is estimated over all of them.

    A few seeds say little of their spread. So each row's is drawn towards what rows of its error have, as far as the rows agree: its
    variance is taken against that of drawing as many images, and moderated over the rows.
    """
    kinds = []
    for name in ("bests", "lasts"):
        values = [np.array(getattr(each, name)) for each in standings]
        expected = [sampling(float(value.mean()), each.result.n_test) ** 2 for value, each in zip(values, standings, strict=True)]
        ratios = [float(value.var(ddof=1)) / scale if len(value) > 1 else math.nan for value, scale in zip(values, expected, strict=True)]
        moderated = intervals.moderated(ratios, [len(value) - 1 for value in values])
        kinds.append(
            [
                _clipped(intervals.one_more(float(value.mean()), math.sqrt(ratio * scale), freedom, len(value)))
                for value, scale, (ratio, freedom) in zip(values, expected, moderated, strict=True)
            ]
        )
    return [replace(each, one_more_best=best, one_more_last=last) for each, best, last in zip(standings, *kinds, strict=True)]


def _clipped(bounds: Bounds) -> Bounds | None:
    """Return bounds that are accuracies, None for what is not known."""
    return None if math.isnan(bounds[0]) else (max(bounds[0], 0.0), min(bounds[1], 1.0))


def sampling(accuracy: float, n: int) -> float:
    """Return what the standard deviation between seeds often comes to: that of n images, halved for what seeds have in common."""
    return math.sqrt(max(1 - accuracy, 1 / n) / (2 * n))


def claim_of(row: Row) -> dict[str, object] | None:
    """Return a row's claims as its result keeps them, None for an arm."""
    if not row.claims:
        return None
    return {
        "system": row.system,
        "title": row.title,
        "parameters": row.n_parameters if row.corrected else row.said or row.n_parameters,
        "claims": [*map(_plain, row.claims)],
    }


def _plain(claim: Claim) -> dict[str, object]:
    """Return a claim as plain values."""
    curve = [n / registry.N_TEST for n in claim.curve]
    return {"where": claim.where, "best": claim.best, "final": claim.final, "least": claim.least, "curve": curve, "train": claim.train}
