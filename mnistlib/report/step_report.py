"""What a notebook reports of its runs: the result, the step before on the same images, and the claims that both allow."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from mnistlib import formatting, steps
from mnistlib.data import Mnist
from mnistlib.recipe import HELD_EPOCHS, MIN_ACCURACY, Recipe
from mnistlib.report import recipe_diff
from mnistlib.report import result as results
from mnistlib.report.result import Earlier, Result
from mnistlib.runs import Run, cache, provenance, seeds
from mnistlib.stats import comparison, intervals, misclassified
from mnistlib.stats.comparison import Claim, Difference


@dataclass(frozen=True)
class StepReport:
    """A step's result, and beside it those of the step before and of the first step where they can be compared."""

    step: steps.Step
    result: Result
    path: Path  # of the result's JSON
    mnist: Mnist
    runs: list[Run]
    before: Earlier | None
    first: Earlier | None  # None, too, where it is the step before
    sentence: str  # why there is no comparison, and what recipe was run instead of the step's; "" where there is nothing to say

    @property
    def predictions(self) -> np.ndarray:
        """Return the digits that each seed predicts, uint8 [n_seeds, n_images]."""
        return np.stack([run.predictions for run in self.runs])

    @property
    def confidences(self) -> np.ndarray:
        """Return the probability of each prediction, float32 [n_seeds, n_images]."""
        return np.stack([run.confidences for run in self.runs])

    @property
    def wrong(self) -> np.ndarray:
        """Return which images each seed gets wrong, bool [n_seeds, n_images]."""
        return misclassified.wrong(self.predictions, self.mnist.eval.labels)

    @property
    def differences(self) -> dict[str, Difference]:
        """Return the differences from the step before and from the first step, by what they are from."""
        return {f"over {each.from_}": each for each in (self.result.difference, self.result.since_first) if each}

    def better(self) -> Claim:
        """Claim that the step is more accurate than the one before."""
        return self._accuracy("It is more accurate than", ".", 0.0)

    def better_than(self, ablation: str) -> Claim:
        """Claim that the step is more accurate than an ablation that stands beside it."""
        difference, sentence = self.beside(ablation)
        claim = f"It is more accurate than {ablation}."
        if difference is None:
            return Claim(claim, "no comparison", sentence)
        return comparison.judge(claim, difference.effect, comparison.figures(difference), formatting.IMAGES)

    def beside(self, ablation: str) -> tuple[Difference | None, str]:
        """Return by how much the step is more accurate than an ablation, or None and the sentence that says why it is not known."""
        other, sentence = results.find(ablation, results.conditions(self.result), self.mnist.sha256, self.path.parents[1])
        if other is None:
            return None, sentence
        wrong = misclassified.wrong(other.predictions, self.mnist.eval.labels)
        return comparison.difference(self.wrong, wrong, self.mnist.eval.writers, self.mnist.eval.groups, ablation), ""

    def no_worse(self) -> Claim:
        """Claim that the step is no less accurate than the one before, within a margin that was fixed beforehand."""
        margin = formatting.count(round(10_000 * comparison.MARGIN))
        return self._accuracy("It is no less accurate than", f", within {margin} images of 10,000.", -comparison.MARGIN)

    def worse(self) -> Claim:
        """Claim that the step is less accurate than the one before."""
        return self._accuracy("It is less accurate than", ".", 0.0, lower=True)

    def reached(self) -> Claim:
        """Claim that the mean accuracy is above the target."""
        claim, summary = f"The mean reaches the target of {formatting.percent(MIN_ACCURACY)}, for other writers too.", self.result.summary
        whole, by_seed = (bounds and formatting.against(bounds, MIN_ACCURACY) for bounds in (summary.interval, summary.seed_interval))
        also = f"; the same images, other seeds: {by_seed}" if by_seed else ""
        figures = f"{formatting.percent(summary.final_mean)} (other seeds and other writers: {whole}{also})"
        return comparison.judge(claim, summary.accuracy, figures, formatting.IMAGES, MIN_ACCURACY)

    def held(self) -> Claim:
        """Claim that the mean is at or above the target in each of the last epochs, for other seeds on the same images."""
        last, summary = np.array([run.history.eval_accuracy[-HELD_EPOCHS:] for run in self.runs]), self.result.summary
        claim = f"On these images, the mean keeps the target in each of the last {formatting.count(HELD_EPOCHS)} epochs."
        also = f"; seeds that hold: {comparison.share(summary.n_held, summary.n_seeds)}"
        lowest = last[:, last.mean(0).argmin()] if last.shape[1] == HELD_EPOCHS else []
        return self._here(claim, lowest, MIN_ACCURACY, also)

    def reached_here(self, goal: float, name: str) -> Claim:
        """Claim that the mean is above an accuracy that the step asks of itself, for other seeds on the same images."""
        return self._here(f"On these images, the mean reaches {name}, {formatting.percent(goal)}.", [run.final for run in self.runs], goal)

    def _here(self, claim: str, accuracies: Sequence[float], least: float, also: str = "") -> Claim:
        if (effect := intervals.welch(accuracies)) is None:
            return Claim(claim, "no comparison", "There are too few seeds or epochs.")
        figures = f"{formatting.percent(effect.value)} (the same images, other seeds: {formatting.against(effect.interval, least)}){also}"
        return comparison.judge(claim, effect, figures, formatting.IMAGES, least)

    def narrower(self) -> Claim:
        """Claim that the gap between clean training and test accuracy is smaller than before."""
        return self._lower("The gap between clean training and test accuracy is smaller than", "gaps", formatting.POINTS)

    def fits_better(self) -> Claim:
        """Claim that fewer clean training images are misclassified than before."""
        return self._lower("The error on the clean training images is lower than", "train_errors", formatting.POINTS)

    def lower_loss(self) -> Claim:
        """Claim that the loss on the evaluation images is lower than before."""
        return self._lower(f"The {self.result.split} loss is lower than", "summary.losses", formatting.LOSS)

    def better_calibrated(self) -> Claim:
        """Claim that the expected calibration error is lower than before."""
        return self._lower("The calibration error is lower than", "summary.calibration_errors", formatting.POINTS)

    def _accuracy(self, claim: str, end: str, threshold: float, lower: bool = False) -> Claim:
        difference, since = self.result.difference, self.result.since_first
        if difference is None:
            return Claim(f"{claim} the step before{end}", "no comparison", self.sentence)
        figures = comparison.figures(difference) + (f"; from {since.from_} on: {comparison.figures(since)}" if since else "")
        return comparison.judge(f"{claim} {difference.from_}{end}", difference.effect, figures, formatting.IMAGES, threshold, lower)

    def _lower(self, claim: str, name: str, unit: formatting.Unit) -> Claim:
        if self.before is None:
            return Claim(f"{claim} before.", "no comparison", self.sentence)
        values, earlier = attrgetter(name), [each.result for each in (self.before, self.first) if each]
        return comparison.lower(claim, unit, values(self.result), {each.step: values(each) for each in earlier})

    def first_seeds(self, n: int) -> "StepReport":
        """Return what the first seeds alone would have reported, beside as many seeds of the earlier steps."""
        before, first = (each and each.first_seeds(n) for each in (self.before, self.first))
        made = results.make(self.step, self.result.recipe, self.mnist, self.runs[:n], self.result.provenance, before, first)
        return replace(self, result=made, runs=self.runs[:n], before=before, first=first)

    def record(self, claims: Sequence[Claim]) -> tuple[Claim, ...]:
        """Save the result with the claims of its Analysis, and return them; from here on its runs count as reported."""
        results.save(replace(self.result, claims=tuple(claims)), self.path.parents[1])
        seeds.reported(self.path.parents[1], [run.key for run in self.runs])
        return tuple(claims)


def make(step: steps.Step, recipe: Recipe, mnist: Mnist, runs: Sequence[Run], results_dir: Path) -> StepReport:
    """Make a step's report from its runs and save its result under a results folder."""
    wanted = {"split": mnist.split, "epochs": steps.epochs_before(step, recipe.epochs), "train_limit": mnist.train_limit}
    before, sentence = results.find(step.before, wanted, mnist.sha256, results_dir)
    first, start = None, step
    while start.before:
        start = steps.get(start.before)
    if step.before not in (None, start.name):
        epochs = start.recipe.epochs if recipe.epochs == step.recipe.epochs else recipe.epochs
        first, _ = results.find(start.name, wanted | {"epochs": epochs}, mnist.sha256, results_dir)
    made = results.make(step, recipe, mnist, runs, _provenance(runs), before, first)
    path = results.save(made, results_dir)
    return StepReport(step, made, path, mnist, list(runs), before, first, f"{_overridden(step, recipe)} {sentence}".strip())


def _overridden(step: steps.Step, recipe: Recipe) -> str:
    own = replace(step.recipe, epochs=recipe.epochs)
    return "" if own == recipe else f"This run overrides the step's recipe: {recipe_diff.summary(recipe, own)}."


def _provenance(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the provenance of all runs, with the seconds of all their epochs, and the cloud instance's facts."""
    seconds = sum(sum(run.history.seconds) for run in runs)
    return provenance.combine([run.provenance for run in runs], seconds) | provenance.instance(time.time())


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
