"""Published claims beside seeds of the same recipes: like with like, and how much of a claim is choice."""

from dataclasses import dataclass

import numpy as np

from mnistlib.published.repository import PublishedModel
from mnistlib.report.result import Result
from mnistlib.stats.bootstrap import Bounds


@dataclass(frozen=True)
class Replication:
    """A published model and its measurement; accuracies are fractions of the test images."""

    model: PublishedModel
    result: Result
    next_best: Bounds | None = None  # 95% prediction interval of one more seed's best epoch; None: unknown
    next_final: Bounds | None = None  # and of its last epoch

    @property
    def bests(self) -> list[float]:
        """Return each seed's best epoch, chosen on the test set."""
        return [max(run.history.eval_accuracy) for run in self.result.runs]

    @property
    def finals(self) -> list[float]:
        """Return each seed's last epoch."""
        return [run.final for run in self.result.runs]

    @property
    def luckiest(self) -> int:
        """Return the place of the seed with the best epoch of all, the first where several have it."""
        return int(np.argmax(self.bests))

    @property
    def mean(self) -> float:
        """Return the mean of the seeds' last epochs."""
        return self.result.summary.final_mean

    def place(self, best: bool = True) -> str:
        """Return whether the claim is "inside", "above" or "below" the prediction interval of one more seed; "" without a claim.

        A claim of "at least" that any such seed would exceed counts as "inside".
        """
        claim, bounds = self.model.claim, self.next_best if best else self.next_final
        value = (claim.best if best else claim.final) if claim else None
        if claim is None or value is None or bounds is None:
            return ""
        return "above" if value > bounds[1] else "below" if value < bounds[0] and not claim.at_least else "inside"


def comparable(model: PublishedModel, result: Result) -> bool:
    """Say whether a result is a full run of a model's present recipe, evaluated on the test images."""
    return result.headline and result.recipe == model.recipe
