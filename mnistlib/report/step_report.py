"""What a notebook reports of its runs: the result, the step before on the same images, and the claims that both allow."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnistlib import formatting, steps
from mnistlib.data import Mnist
from mnistlib.recipe import Recipe
from mnistlib.report import recipe_diff
from mnistlib.report import result as results
from mnistlib.report.result import Result
from mnistlib.runs import Run, cache, provenance, seeds
from mnistlib.stats import comparison, misclassified
from mnistlib.stats.comparison import Claim


@dataclass(frozen=True)
class StepReport:
    """A step's result, and beside it that of the step before where the two can be compared."""

    result: Result
    path: Path  # of the result's JSON
    mnist: Mnist
    runs: list[Run]
    before: Result | None
    predictions_before: np.ndarray | None
    sentence: str  # why there is no comparison, and what recipe was run instead of the step's; "" where there is nothing to say

    @property
    def predictions(self) -> np.ndarray:
        """Return the digits that each seed predicts, uint8 [n_seeds, n_images]."""
        return np.stack([run.predictions for run in self.runs])

    @property
    def wrong(self) -> np.ndarray:
        """Return which images each seed gets wrong, bool [n_seeds, n_images]."""
        return misclassified.wrong(self.predictions, self.mnist.eval.labels)

    def confusion_changes(self) -> list[misclassified.ConfusionChange]:
        """Return the kinds of error that became rarer or more common since the step before; none where there is no comparison."""
        if self.predictions_before is None:
            return []
        return misclassified.confusion_changes(self.predictions, self.predictions_before, self.mnist.eval.labels)

    def better(self) -> Claim:
        """Claim that the step is more accurate than the one before; supported where the interval of the difference excludes zero."""
        difference = self.result.difference
        if difference is None:
            return Claim("It is more accurate than the step before.", False, self.sentence)
        figures = f"{formatting.points(difference.mean)} ({formatting.points_interval(difference.interval)})"
        return Claim(f"It is more accurate than {difference.from_}.", difference.direction == "better", figures)

    def held(self) -> Claim:
        """Claim that every seed keeps the target over the last epochs."""
        return comparison.claim_held(self.result.summary)

    def narrower(self) -> Claim:
        """Claim that the gap between clean training and test accuracy is smaller than before."""
        claim = "The gap between clean training and test accuracy is smaller than"
        return self._lower(claim, "gaps", formatting.points, formatting.points_interval)

    def quicker(self) -> Claim:
        """Claim that a seed trains in less time than before."""
        return self._lower("A seed trains in less time than", "seconds", formatting.seconds, formatting.seconds_interval)

    def _lower(self, claim: str, name: str, value: Callable[..., str], interval: Callable[..., str]) -> Claim:
        if self.before is None:
            return Claim(f"{claim} before.", False, self.sentence)
        now, before = (getattr(result, name) for result in (self.result, self.before))
        return comparison.claim_lower(f"{claim} in {self.before.step}.", now, before, value, interval)

    def record(self, claims: Sequence[Claim]) -> tuple[Claim, ...]:
        """Save the result with the claims of its Analysis, and return them; from here on its runs count as reported."""
        results.save(replace(self.result, claims=tuple(claims)), self.path.parents[1])
        seeds.reported(self.path.parents[1], [run.key for run in self.runs])
        return tuple(claims)


def make(step: steps.Step, recipe: Recipe, mnist: Mnist, runs: Sequence[Run], results_dir: Path) -> StepReport:
    """Make a step's report from its runs and save its result under a results folder."""
    wanted = {"split": mnist.split, "epochs": steps.epochs_before(step, recipe.epochs), "train_limit": mnist.train_limit}
    before, predictions_before, sentence = results.find(step.before, wanted, mnist.sha256, results_dir)
    made = results.make(step, recipe, mnist, runs, _provenance(runs), before, predictions_before)
    path = results.save(made, results_dir)
    return StepReport(made, path, mnist, list(runs), before, predictions_before, f"{_overridden(step, recipe)} {sentence}".strip())


def _overridden(step: steps.Step, recipe: Recipe) -> str:
    own = replace(step.recipe, epochs=recipe.epochs)
    return "" if own == recipe else f"This run overrides the step's recipe: {recipe_diff.summary(recipe, own)}."


def _provenance(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the provenance of the run that began first, with the seconds of all epochs of all runs, and the cloud instance's facts."""
    earliest = min((run.provenance for run in runs), key=lambda about: about["started"])
    return {**earliest, "seconds": round(sum(sum(run.history.seconds) for run in runs), 1), **provenance.instance(time.time())}


def restore(step: str, mnist: Mnist, place: Path, results_dir: Path) -> int:
    """Put the runs of a result committed in `place` into the cache of a results folder where they are missing; return how many."""
    path, folder, n = place / "results" / f"{step}.json", seeds.cache_dir(results_dir), 0
    if not path.exists():
        return 0
    result = results.read(path)
    for run in results.read_runs(result, place):
        cached = cache.run_path(folder, run.key)
        if run.key == cache.cache_key(result.recipe, mnist, run.seed) and cache.load_run(cached, run.key) is None:
            cache.save_run(cached, run)
            n += 1
    return n
