"""What a notebook tells of its trials: the result, the same images as the step before saw them, and the claims both allow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mnistlib import data, files, formatting, models, steps, train, written
from mnistlib.notebook.params import Settings
from mnistlib.recipe import Recipe
from mnistlib.report import model_summary, results
from mnistlib.report.result import Result
from mnistlib.runs import cloud_machine, seeds, storage
from mnistlib.stats import misclassified, summary
from mnistlib.stats.summary import Claim

REFERENCE = 256  # images of the reference run: the first of each part


@dataclass(frozen=True)
class Outcome:
    """A step's result, and beside it that of the step before where the two can be compared."""

    result: Result
    path: Path  # of the result's JSON
    mnist: data.Mnist
    seeds: list[storage.Trial]
    predictions: np.ndarray  # uint8 [n_seeds, n_images]
    before: Result | None
    predictions_before: np.ndarray | None
    sentence: str  # why there is no comparison, and what the run tried; "" where there is nothing to say

    @property
    def wrong(self) -> np.ndarray:
        """Return which images each seed gets wrong, bool [n_seeds, n_images]."""
        return misclassified.wrong(self.predictions, self.mnist.test.labels)

    def changes(self) -> list[misclassified.Change]:
        """Return the kinds of error that went and came since the step before; none where there is no comparison."""
        if self.predictions_before is None:
            return []
        return misclassified.changes(self.predictions, self.predictions_before, self.mnist.test.labels)

    def better(self) -> Claim:
        """Claim that the step is more accurate than the one before."""
        if self.result.difference is None:
            return Claim("It is more accurate than the step before.", False, self.sentence)
        return summary.claim_better(self.result.difference)

    def held(self) -> Claim:
        """Claim that every seed keeps the target over the last epochs."""
        return summary.claim_held(self.result.summary)

    def narrower(self) -> Claim:
        """Claim that the gap between clean training and test accuracy is narrower than before."""
        if self.before is None:
            return Claim("The gap between clean training and test accuracy is narrower than before.", False, self.sentence)
        return summary.claim_narrower(gap(self.result), gap(self.before), self.before.step)

    def quicker(self) -> Claim:
        """Claim that a seed trains in less time than before."""
        if self.before is None:
            return Claim("A seed trains in less time than before.", False, self.sentence)
        now, then = ([sum(run.seconds) for run in result.runs] for result in (self.result, self.before))
        return summary.claim_quicker(now, then, self.before.step)

    def record(self, claims: Sequence[Claim]) -> tuple[Claim, ...]:
        """Write the result again with the claims of its Analysis, and return them."""
        result = replace(self.result, claims=tuple(claims))
        results.save(result, self.trials, self.path.parents[1] if result.dataset == "mnist" else self.path.parents[2])
        return result.claims


def make(
    step: steps.Step,
    recipe: Recipe,
    mnist: data.Mnist,
    runs: list[storage.Trial],
    given: Settings,
    notebook: str | None = None,
    claim: dict[str, Any] | None = None,
) -> Outcome:
    """Make a step's outcome from its trials and save its result under the reader's results folder.

    `notebook` is the one that tells it where that is not named as the step is; `claim` is what the authors of a published net say.
    """
    about = model_summary.of(models.build(recipe.model, recipe.dropout))
    found = results.find(step.before, results.conditions(mnist, steps.epochs_before(step, recipe.epochs)), given.results_dir)
    before_predictions = None if found.result is None else predictions(found.result, found.place, mnist)
    result = results.make(
        step,
        mnist,
        runs,
        n_parameters=about.n_parameters,
        n_macs=about.n_macs,
        receptive_field=about.receptive_field,
        provenance=first(runs),
        recipe=recipe,
        keys={"notebook": files.story(notebook or step.name), "reference": reference(recipe, mnist)},
        claim=claim,
        before=found.result,
        wrong_before=None if before_predictions is None else misclassified.wrong(before_predictions, mnist.test.labels),
    )
    path = results.save(result, runs, given.results_dir)
    table = np.stack([run.predictions for run in runs])
    return Outcome(result, path, mnist, runs, table, found.result, before_predictions, f"{_tried(step, recipe)} {found.sentence}".strip())


def _tried(step: steps.Step, recipe: Recipe) -> str:
    """Return a sentence where a run tried other fields of a step's recipe than its epochs, "" where it did not."""
    if replace(step.recipe, epochs=recipe.epochs) == recipe:
        return ""
    own, now = (dict(written.flat(one)) for one in (replace(step.recipe, epochs=recipe.epochs), recipe))
    names = [name for name in (own | now) if own.get(name) != now.get(name)]
    told = [f"{name} {formatting.number(now.get(name))} (was {formatting.number(own.get(name))})" for name in names]
    return f"This run tried another recipe than the step's: {', '.join(told)}."


def first(runs: Sequence[storage.Trial]) -> dict[str, Any]:
    """Return the provenance of the trial that began first, with the seconds that all epochs of all trials took, and the cloud's part."""
    earliest = min((run.provenance for run in runs), key=lambda about: about["started"])
    return {**earliest, "seconds": round(sum(sum(run.history.seconds) for run in runs), 1), **cloud_machine.told(time.time())}


def reference(recipe: Recipe, mnist: data.Mnist) -> list[float]:
    """Return the losses of a short run, one epoch on a few images: another value means that the arithmetic of training changed."""
    few = replace(
        mnist, train=mnist.train.take(np.arange(min(REFERENCE, len(mnist.train.labels)))), test=mnist.test.take(np.arange(REFERENCE))
    )
    history = train.train(replace(recipe, epochs=1), few, seed=0).history
    return [history.train_loss[0], history.test_loss[0]]


def gap(result: Result) -> np.ndarray:
    """Return each seed's accuracy on the clean training images minus that on the judged ones."""
    return summary.gaps([run.train_accuracy_clean for run in result.runs], [run.final for run in result.runs])


def judge(recipe: Recipe, weights: dict, part: data.Part) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits that a checkpoint's net gives to images (uint8) and their probabilities (float32)."""
    return train.predict(_net(recipe, weights), part)[1:]


def probabilities(recipe: Recipe, weights: dict, part: data.Part) -> np.ndarray:
    """Return the probability that a checkpoint's net gives to every digit, float32 [n, 10]."""
    return train.logits(_net(recipe, weights), part).softmax(1).numpy()


def _net(recipe: Recipe, weights: dict) -> nn.Module:
    """Return a checkpoint's net."""
    net = models.build(recipe.model, recipe.dropout)
    net.load_state_dict(weights)
    return net


def predictions(result: Result, place: Path, mnist: data.Mnist) -> np.ndarray:
    """Return the digits that each seed of a stored result gives to the judged images, uint8 [n_seeds, n_images]."""
    return np.stack([judge(result.recipe, weights, mnist.test)[0] for _, weights in results.stored(result, place)])


def restore(step: str, mnist: data.Mnist, reports: Path | None = None) -> int:
    """Rebuild the trials of a committed result in build/trials, those that are missing there, and return how many these were."""
    place = results.base(reports or files.root() / "reports", mnist.dataset)
    if not (place / "results" / f"{step}.json").exists():
        return 0
    result, n = results.read(place / "results" / f"{step}.json"), 0
    for about, weights in results.stored(result, place):
        path = seeds.path(about["key"])
        if about["key"] == seeds.key(result.recipe, mnist, about["seed"]) and storage.load_trial(path, about["key"]) is None:
            digits, confidences = judge(result.recipe, weights, mnist.test)
            trial = storage.Trial(**about, weights=weights, predictions=digits, confidences=confidences, provenance=result.provenance)
            storage.save_trial(path, trial)
            n += 1
    return n
