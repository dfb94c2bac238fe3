"""The results of all published models, with the prediction intervals of one more seed; what other repositories report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from mnistlib.errors import ResultError, validated
from mnistlib.logs import log
from mnistlib.published import tables
from mnistlib.published.repository import ABLATIONS, MODELS, Accuracy, Replication, comparable
from mnistlib.report import result as stored
from mnistlib.report.result import Result
from mnistlib.stats.intervals import Bounds
from replication import spread


@validated
class OtherRepository:
    """The figures of one net in another public repository, as its author reports them."""

    name: str
    n_parameters: int
    best: Accuracy
    final: Accuracy | None = None
    protocol: str = "one seed, epoch chosen on the test set, log seen"

    @property
    def url(self) -> str:
        """The repository's address; empty where only the title of its README is known."""
        return tables.address(self.name) if "/" in self.name else ""


OTHERS = [OtherRepository(**entry) for entry in yaml.safe_load((Path(__file__).parent / "other_repos.yaml").read_text(encoding="utf-8"))]


@dataclass(frozen=True)
class Placed(Replication):
    """A replication with the 95% prediction intervals of one more seed; None: unknown."""

    next_best: Bounds | None  # of its best epoch
    next_final: Bounds | None  # of its last epoch

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
                result = stored.read(path)
                if not comparable(model, result):
                    raise ResultError("It is not a full run of its recipe on the test images; `make published` makes one.")
                stored.read_predictions(result, place)
                found[name] = result
        except ResultError as error:
            log.warning(f"{name} is left out. {error}")
    return found


def replications(found: Mapping[str, Result]) -> list[Placed]:
    """Return all published models among the results, each with the prediction intervals of one more seed."""
    return with_prediction_intervals([Replication(MODELS[name], result) for name, result in found.items() if name in MODELS])


def with_prediction_intervals(made: list[Replication]) -> list[Placed]:
    """Return replications with the prediction intervals of one more seed, whose spread is estimated over all models.

    A few seeds tell little about their spread. So each model's variance, relative to that expected of its number of errors, is moderated
    over the models.
    """
    columns = []
    for name in ("bests", "finals"):
        values = [np.array(getattr(each, name)) for each in made]
        expected = [expected_sd(float(value.mean()), each.result.n_eval) ** 2 for value, each in zip(values, made, strict=True)]
        ratios = [float(value.var(ddof=1)) / scale if len(value) > 1 else math.nan for value, scale in zip(values, expected, strict=True)]
        moderated = spread.moderated_variances(ratios, [len(value) - 1 for value in values])
        estimates = zip(values, expected, moderated, strict=True)
        columns.append([_next(value, math.sqrt(ratio * scale), freedom) for value, scale, (ratio, freedom) in estimates])
    return [Placed(each.model, each.result, best, final) for each, best, final in zip(made, *columns, strict=True)]


def _next(values: np.ndarray, sd: float, freedom: float) -> Bounds | None:
    low, high = spread.prediction_interval(float(values.mean()), sd, freedom, len(values))
    return None if math.isnan(low) else (max(low, 0.0), min(high, 1.0))


def expected_sd(accuracy: float, n: int) -> float:
    """Return a rule of thumb for the standard deviation between seeds: the binomial one of n images, with half the variance."""
    return math.sqrt(max(1 - accuracy, 1 / n) / (2 * n))
