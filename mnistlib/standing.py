"""How a published claim stands beside seeds of the same recipe: like with like, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mnistlib import intervals, published
from mnistlib.errors import ResultError
from mnistlib.intervals import Bounds
from mnistlib.published import Row
from mnistlib.schema import Result


@dataclass(frozen=True)
class Standing:
    """A row's claim and its measurement; accuracies are fractions of the test images."""

    row: Row
    result: Result
    bests: tuple[float, ...]  # each seed's best epoch, chosen on the test set
    lasts: tuple[float, ...]  # each seed's last epoch
    one_more_best: Bounds | None  # where one further seed's best epoch would lie, 95%
    one_more_last: Bounds | None  # and its last epoch

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

    def place(self, best: bool = True) -> str:
        """Return "inside", "above" or "below": where the claim lies against one further seed; "" where nothing was claimed."""
        claim, bounds = self.row.claim, self.one_more_best if best else self.one_more_last
        value = None if claim is None else claim.best if best else claim.final
        if value is None or bounds is None:
            return ""
        return "above" if value > bounds[1] else "below" if value < bounds[0] else "inside"


def of(row: Row, result: Result) -> Standing:
    """Return the standing of a row from its result; raise ResultError where that is not a full run judged on the test images."""
    if not result.headline:
        raise ResultError(
            f"The result of {row.name} is no full run on MNIST judged on its test images; there is no claim to hold it against."
        )
    bests = tuple(max(run.test_accuracy) for run in result.runs)
    lasts = tuple(run.test_accuracy[-1] for run in result.runs)
    return Standing(row, result, bests, lasts, intervals.prediction(bests), intervals.prediction(lasts))


def claim_of(row: Row) -> dict[str, object] | None:
    """Return a row's claims as its result keeps them, None for an arm."""
    if not row.claims:
        return None
    claims = [{"where": c.where, "best": c.best, "final": c.final, "curve": [n / published.N_TEST for n in c.curve]} for c in row.claims]
    return {"system": row.system, "title": row.title, "parameters": row.said or row.n_parameters, "claims": claims}
