"""What the published models teach beside their figures: studies of finished runs, each a list of estimates with their intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mnistlib import data, files, formatting, train
from mnistlib.errors import ResultError
from mnistlib.logs import log
from mnistlib.published.repository import BY_VALIDATION, MODELS, N_FOLDS
from mnistlib.recipe import MIN_ACCURACY
from mnistlib.report import result as results
from mnistlib.report.result import Result
from mnistlib.stats import intervals, misclassified
from replication import spread
from replication.results import expected_sd

STUDIES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "studies.yaml").read_text(encoding="utf-8"))
NEAR = 0.99  # mean accuracy from which a model counts as near the target
ENSEMBLE_SEEDS = 5  # only models with as many seeds are ensembled


@dataclass(frozen=True)
class Estimate:
    """One estimate of a study."""

    what: str
    kind: str  # "accuracy", "share" or "count"; "difference", "gain" or "size" (of accuracies); "spread" (a standard deviation)
    value: float  # fractions, but for counts
    interval: tuple[float, float] | None  # 95%
    n: str  # what it rests on: "5 and 3 seeds"
    note: str = ""
    role: str = ""  # what the study's answer uses it as


@dataclass(frozen=True)
class Evidence:
    """Results by name, with the folder that holds their predictions."""

    results: Mapping[str, Result]
    place: Path

    @cached_property
    def eval(self) -> data.ImageSet:
        """Return the test images."""
        return data.load().eval

    @cached_property
    def wrong(self) -> dict[str, np.ndarray]:
        """Return which test images each seed of each result gets wrong, bool [n_seeds, n_images]."""
        found = {name: results.read_predictions(result, self.place)[0] for name, result in self.results.items()}
        return {name: misclassified.wrong(predictions, self.eval.labels) for name, predictions in found.items()}

    @property
    def models(self) -> list[str]:
        """Return the published models that there are results of."""
        return [name for name in MODELS if name in self.results]

    def seeds(self, *names: str) -> str:
        """Return how many seeds results have: "5 and 3 seeds"."""
        counts = [len(self.results[name].runs) for name in names]
        return formatting.listed([*map(formatting.count, counts[:-1]), formatting.counted(counts[-1], "seed")])

    def bests(self, name: str) -> np.ndarray:
        """Return each seed's best epoch, chosen on the test set."""
        return np.array([max(run.history.eval_accuracy) for run in self.results[name].runs])

    def finals(self, name: str) -> np.ndarray:
        """Return each seed's final accuracy."""
        return np.array([run.final for run in self.results[name].runs])


def make(found: Mapping[str, Result], place: Path) -> dict[str, Any]:
    """Return the record of all studies that the results allow, as plain values."""
    evidence = Evidence(found, place)
    made = {name: [asdict(estimate) for estimate in study(evidence, name)] for name in STUDIES}
    return {"inputs": inputs(found), "studies": {name: lines for name, lines in made.items() if lines}, "kernels": kernels(evidence)}


def inputs(found: Mapping[str, Result]) -> str:
    """Return one hash of everything that the studies are made from."""
    files_used = {name: [result.predictions, *(run.sha256 for run in result.runs)] for name, result in found.items()}
    return files.sha256(files.canonical(files_used))


def study(evidence: Evidence, name: str) -> list[Estimate]:
    """Return the estimates of a study in studies.yaml, without those whose results are missing."""
    estimates = []
    for line in STUDIES[name]["estimates"]:
        settings = {key: value for key, value in line.items() if key != "by"}
        needed = [*_names(line.get("now", [])), *_names(line.get("before", []))]
        if all(result in evidence.results for result in needed):
            estimates += ESTIMATORS[line.get("by", "difference")](evidence, **settings)
    return estimates


def _names(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


# Estimators of the results that studies.yaml names


def difference(evidence: Evidence, what: str, now: str | Sequence[str], before: str | Sequence[str], role: str = "") -> list[Estimate]:
    """Estimate the difference in accuracy between two results, or between the means of two lists of results."""
    now, before = _names(now), _names(before)
    after, earlier = ([evidence.wrong[name] for name in names] for names in (now, before))
    weights = [1 / len(now)] * len(now) + [-1 / len(before)] * len(before)
    effect = intervals.contrast([*after, *earlier], weights, evidence.eval.writers, evidence.eval.groups)
    return [Estimate(what, "difference", effect.value, effect.interval, evidence.seeds(*now, *before), role=role)]


def accuracy(evidence: Evidence, what: str, now: str) -> list[Estimate]:
    """Estimate the mean accuracy of a result."""
    summary = evidence.results[now].summary
    return [Estimate(what, "accuracy", summary.final_mean, summary.interval, evidence.seeds(now))]


def best_epochs(evidence: Evidence, what: str, now: str, before: str, against: str = "bests", role: str = "") -> list[Estimate]:
    """Estimate how far the best epochs of a result lie above the best epochs ("bests") or the final accuracies ("finals") of another."""
    values, earlier = evidence.bests(now), getattr(evidence, against)(before)
    gain, effect = float(values.mean() - earlier.mean()), intervals.welch(values, earlier)
    return [Estimate(what, "gain", gain, effect and effect.interval, evidence.seeds(now, before), role=role)]


def choice_of_epoch(evidence: Evidence, now: str) -> list[Estimate]:
    """Estimate what choosing the epoch on the test images would add to a result that monitors validation images."""
    what, note = "For comparison: the choice of the epoch, without the leak", "best epoch on the test images, above the kept one"
    return [Estimate(what, "gain", float(np.mean(evidence.bests(now) - evidence.finals(now))), None, evidence.seeds(now), note)]


def stated(evidence: Evidence, what: str, value: float, kind: str = "gain", note: str = "", role: str = "", **_: str) -> list[Estimate]:
    """Return what authors state about single runs, beside the results it is compared with."""
    return [Estimate(what, kind, value, None, "one run each", note, role)]


def pairs(evidence: Evidence, now: str, size: float) -> list[Estimate]:
    """Compare every two seeds of a result with each other, and with a difference that was seen between machines."""
    bests, wrong = evidence.bests(now), evidence.wrong[now]
    both = list(combinations(range(len(bests)), 2))
    if not both:
        return []
    distances = [abs(bests[a] - bests[b]) for a, b in both]
    only_one_wrong = [int((wrong[a] != wrong[b]).sum()) for a, b in both]
    chance, n_pairs = spread.chance_of_difference(bests, size), formatting.counted(len(both), "pair")
    n = f"{formatting.of(sum(distance >= size - 1e-9 for distance in distances), len(both))} pairs here do"
    return [
        Estimate("Two seeds on one machine, best epochs, on average", "size", float(np.mean(distances)), None, n_pairs),
        Estimate("Chance that two seeds differ by that or more", "share", chance, None, n, evidence.seeds(now), "chance"),
        Estimate("Images that exactly one of two seeds gets wrong", "count", float(np.mean(only_one_wrong)), None, "mean over the pairs"),
    ]


# Estimators of all models


def epoch(evidence: Evidence) -> list[Estimate]:
    """How much of a claim is the choice of the epoch: best epoch minus last, seed by seed."""
    gains = {name: evidence.bests(name) - evidence.finals(name) for name in evidence.models}
    if not gains:
        return []
    claims = [claim for name in gains for claim in MODELS[name].claims if claim.best is not None and claim.final is not None]
    means = [float(gain.mean()) for gain in gains.values()]
    effect = intervals.welch(means)
    lines = [
        Estimate(
            "All models",
            "gain",
            float(np.mean(means)),
            effect and effect.interval,
            formatting.counted(len(gains), "model"),
            role="measured",
        )
    ]
    if claims:
        reported, n = float(np.mean([claim.best - claim.final for claim in claims])), formatting.counted(len(claims), "run")
        lines.append(Estimate("As the authors report it", "gain", reported, None, n, role="reported"))
    for name, gain in gains.items():
        note = f"{name}: seeds {formatting.change(formatting.POINTS, gain.min(), gain.max())}"
        lines.append(Estimate(MODELS[name].title, "gain", float(gain.mean()), None, evidence.seeds(name), note))
    return lines


def seed(evidence: Evidence) -> list[Estimate]:
    """How much of a claim is one seed: the standard deviation between seeds, pooled over the models near the target."""
    finals = {name: evidence.finals(name) for name in evidence.models if len(evidence.results[name].runs) > 1}
    near = [values for values in finals.values() if values.mean() >= NEAR]
    lines = []
    if near:
        freedom = sum(len(values) - 1 for values in near)
        pooled = math.sqrt(sum((len(values) - 1) * values.var(ddof=1) for values in near) / freedom)
        distances = [abs(a - b) for values in near for a, b in combinations(values, 2)]
        what, n = f"Models that end at {formatting.percent(NEAR, 0)} or more, pooled", formatting.counted(len(near), "model")
        n_pairs, chance = formatting.counted(len(distances), "pair"), 1.96 * math.sqrt(2) * pooled
        expected, note = expected_sd(MIN_ACCURACY, len(evidence.eval.labels)), "square root of error / (2 × images)"
        lines = [
            Estimate(what, "spread", pooled, spread.sd_interval(pooled, freedom), n, role="pooled"),
            Estimate("Two seeds of one of these differ on average by", "size", float(np.mean(distances)), None, n_pairs),
            Estimate("Two single runs of one recipe rarely differ by more than", "size", chance, None, "normal, 95%", role="chance"),
            Estimate("For comparison: a rule of thumb at the target", "spread", expected, None, "", note),
        ]
    for name, values in finals.items():
        sd = float(values.std(ddof=1))
        interval = spread.sd_interval(sd, len(values) - 1)
        lines.append(Estimate(MODELS[name].title, "spread", sd, interval, evidence.seeds(name), name))
    return lines


def rebuilt(evidence: Evidence) -> list[Estimate]:
    """Running training accuracy against the published: of six times as many images, it shows best whether a recipe is the same."""
    lines = []
    for name in evidence.models:
        published = next((claim.train for claim in MODELS[name].claims if claim.train is not None), None)
        if published is None:
            continue
        bests = [max(run.history.train_accuracy) for run in evidence.results[name].runs]
        mean, interval = float(np.mean(bests)), None
        if len(bests) > 1:
            low, high = spread.prediction_interval(mean, float(np.std(bests, ddof=1)), len(bests) - 1, len(bests))
            interval = (low - published, high - published)
        note = f"{name}: here {formatting.percent(mean)}, published {formatting.percent(published)}"
        lines.append(Estimate(MODELS[name].title, "gain", mean - published, interval, evidence.seeds(name), note, "model"))
    return lines


def fold_name(fold: int) -> str:
    """Return the name of the result of a fold, counted from 1."""
    return f"{BY_VALIDATION}-fold-{fold}"


def folds(evidence: Evidence, now: str) -> list[Estimate]:
    """Cross-validate by writer: every training image is predicted once, by a net that saw nothing of its writer."""
    lines, parts, wrong = [], [], []
    for fold in range(1, N_FOLDS + 1):
        try:
            result, part = results.read(evidence.place / "results" / f"{fold_name(fold)}.json"), data.load(f"fold {fold} of {N_FOLDS}")
            if (result.recipe, result.split) != (evidence.results[now].recipe, part.split):
                raise ResultError(f"The result of {fold_name(fold)} is of another recipe; `make published` makes one.")
            wrong.append(misclassified.wrong(results.read_predictions(result, evidence.place)[0], part.eval.labels)[0])
        except ResultError as error:
            log.warning(f"The cross-validation is left out. {error}")
            return []
        parts.append(part.eval)
        n = f"{formatting.count(result.n_eval)} images"
        lines.append(Estimate(result.split.capitalize(), "accuracy", result.runs[0].final, None, n))
    errors = np.concatenate(wrong)
    writers, groups = (np.concatenate([getattr(part, name) for part in parts]) for name in ("writers", "groups"))
    mean = intervals.accuracy(errors[None], writers, groups)
    n, note = f"{formatting.count(len(errors))} images", "interval for other writers, not other nets"
    whole = Estimate("Model_3, every training image", "accuracy", mean.value, mean.interval, n, note)
    return [whole, *lines, *accuracy(evidence, "For comparison: test images, by other writers", now)]


def ensemble(evidence: Evidence) -> list[Estimate]:
    """Average the probabilities of the nets of a model's seeds."""
    lines = []
    for name in evidence.models:
        result = evidence.results[name]
        if len(result.runs) < ENSEMBLE_SEEDS:
            continue
        nets = [results.load_model(result.recipe, run.weights) for run in results.read_runs(result, evidence.place)]
        probabilities = [train.logits(net, evidence.eval).softmax(1).numpy() for net in nets]
        together = np.mean(probabilities, 0).argmax(1) != evidence.eval.labels.numpy()
        tables = [together[None], *(wrong[None] for wrong in evidence.wrong[name])]  # a table each: these nets, other writers
        people, n = (evidence.eval.writers, evidence.eval.groups), evidence.seeds(name)
        mean = intervals.accuracy(tables[0], *people)
        gain = intervals.contrast(tables, [1, *[-1 / len(nets)] * len(nets)], *people)
        lines.append(Estimate(f"{MODELS[name].long_title}, together", "accuracy", mean.value, mean.interval, n))
        lines.append(Estimate("above the mean of the same nets alone", "gain", gain.value, gain.interval, n))
    return lines


ESTIMATORS = {
    estimator.__name__: estimator
    for estimator in (difference, accuracy, best_epochs, choice_of_epoch, stated, pairs, epoch, seed, rebuilt, folds, ensemble)
}


def kernels(evidence: Evidence) -> dict[str, Any] | None:
    """Return the first kernels of Model_3 of assignment-7, first seed, and how far each tap of its last convolution moved on average."""
    name = "002-model-3"
    if name not in evidence.results:
        return None
    run = results.read_runs(evidence.results[name], evidence.place)[0]
    before = train.new_model(MODELS[name].recipe, run.seed).state_dict()
    layers = [layer for layer, value in before.items() if value.ndim == 4]  # convolutions, in their order
    moved = (run.weights[layers[-1]] - before[layers[-1]]).abs().mean((0, 1))
    return {"first": _rounded(run.weights[layers[0]][:, 0]), "moved": _rounded(moved)}


def _rounded(values: Any) -> list[Any]:
    return [_rounded(value) if value.ndim else round(float(value), 4) or float(value) for value in values]
