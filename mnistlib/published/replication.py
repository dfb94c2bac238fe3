"""Published claims beside seeds of the same recipes: like with like, and how much of a claim is choice."""

from dataclasses import dataclass

import numpy as np

from mnistlib.published.repository import PublishedModel
from mnistlib.report.result import Result


@dataclass(frozen=True)
class Replication:
    """A published model and its measurement; accuracies are fractions of the test images."""

    model: PublishedModel
    result: Result

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


def comparable(model: PublishedModel, result: Result) -> bool:
    """Say whether a result is a full run of a model's present recipe, evaluated on the test images."""
    return result.headline and result.recipe == model.recipe
