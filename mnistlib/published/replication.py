"""Published claims beside seeds of the same recipes: like with like, and how much of a claim is choice."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mnistlib.errors import ResultError
from mnistlib.logs import log
from mnistlib.published.repository import ABLATIONS, MODELS, PublishedModel
from mnistlib.report import result as results
from mnistlib.report.result import Result
from mnistlib.stats import intervals
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


def load(place: Path) -> dict[str, Result]:
    """Return the results under a folder by model and ablation; one that cannot be used is left out, with a line in the log."""
    found = {}
    for name, model in (MODELS | ABLATIONS).items():
        path = place / "results" / f"{name}.json"
        try:
            if path.is_file():
                result = results.read(path)
                if not comparable(model, result):
                    raise ResultError("It is not a full run of its recipe on the test images; `make published` makes one.")
                results.read_predictions(result, place)
                found[name] = result
        except ResultError as error:
            log.warning(f"{name} is left out. {error}")
    return found


def comparable(model: PublishedModel, result: Result) -> bool:
    """Say whether a result is a full run of a model's present recipe, evaluated on the test images."""
    return result.headline and result.recipe == model.recipe


def replications(found: Mapping[str, Result]) -> list[Replication]:
    """Return all published models among the results, each with the prediction intervals of one more seed."""
    return with_prediction_intervals([Replication(MODELS[name], result) for name, result in found.items() if name in MODELS])


def with_prediction_intervals(made: list[Replication]) -> list[Replication]:
    """Return replications with the prediction intervals of one more seed, whose spread is estimated over all models.

    A few seeds tell little about their spread. So each model's variance, relative to that expected of its number of errors, is moderated
    over the models.
    """
    columns = []
    for name in ("bests", "finals"):
        values = [np.array(getattr(each, name)) for each in made]
        expected = [expected_sd(float(value.mean()), each.result.n_eval) ** 2 for value, each in zip(values, made, strict=True)]
        ratios = [float(value.var(ddof=1)) / scale if len(value) > 1 else math.nan for value, scale in zip(values, expected, strict=True)]
        moderated = intervals.moderated_variances(ratios, [len(value) - 1 for value in values])
        estimates = zip(values, expected, moderated, strict=True)
        columns.append([_next(value, math.sqrt(ratio * scale), freedom) for value, scale, (ratio, freedom) in estimates])
    return [replace(each, next_best=best, next_final=final) for each, best, final in zip(made, *columns, strict=True)]


def _next(values: np.ndarray, sd: float, freedom: float) -> Bounds | None:
    low, high = intervals.prediction_interval(float(values.mean()), sd, freedom, len(values))
    return None if math.isnan(low) else (max(low, 0.0), min(high, 1.0))


def expected_sd(accuracy: float, n: int) -> float:
    """Return a rule of thumb for the standard deviation between seeds: the binomial one of n images, with half the variance."""
    return math.sqrt(max(1 - accuracy, 1 / n) / (2 * n))
