"""What the published models teach beside their figures: studies of finished runs, each a list of estimates with their intervals."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mnistlib import data, files, formatting, train
from mnistlib.errors import ResultError
from mnistlib.logs import log
from mnistlib.published import replication
from mnistlib.published.repository import ABLATIONS, BY_VALIDATION, COMPARISONS, MODELS, N_FOLDS, README_FIGURES, get
from mnistlib.recipe import MIN_ACCURACY
from mnistlib.report import result as results
from mnistlib.report.result import Result
from mnistlib.stats import bootstrap, comparison, intervals, misclassified

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

    def has(self, *names: str) -> bool:
        """Say whether there are results of all these names."""
        return all(name in self.results for name in names)

    def seeds(self, *names: str) -> str:
        """Return how many seeds results have: "5 and 3 seeds"."""
        counts = [len(self.results[name].runs) for name in names]
        return formatting.listed([*map(formatting.count, counts[:-1]), formatting.counted(counts[-1], "seed")])

    def bests(self, name: str) -> list[float]:
        """Return each seed's best epoch, chosen on the test set."""
        return [max(run.history.eval_accuracy) for run in self.results[name].runs]

    def finals(self, name: str) -> list[float]:
        """Return each seed's final accuracy."""
        return [run.final for run in self.results[name].runs]

    def difference(self, what: str, now: str, before: str) -> list[Estimate]:
        """Return the difference between two results; nothing where either is missing."""
        if not self.has(now, before):
            return []
        found = comparison.difference(self.wrong[now], self.wrong[before], self.eval.writers, self.eval.groups, before)
        return [Estimate(what, "difference", found.mean, found.interval, self.seeds(now, before))]

    def effect(self, what: str, now: Sequence[str], before: Sequence[str], role: str) -> list[Estimate]:
        """Return the mean difference between two sets of results, each result weighed alike; nothing where one is missing."""
        names = (*now, *before)
        if not self.has(*names):
            return []
        means = [float(1 - self.wrong[name].mean()) for name in names]
        drawn = bootstrap.resample([self.wrong[name] for name in names], self.eval.writers, self.eval.groups)
        value = float(np.mean(means[: len(now)]) - np.mean(means[len(now) :]))
        interval = bootstrap.percentile_interval(drawn[:, : len(now)].mean(1) - drawn[:, len(now) :].mean(1))
        return [Estimate(what, "difference", value, interval, self.seeds(*names), role=role)]

    def accuracy(self, what: str, name: str) -> list[Estimate]:
        """Return the mean of a result; nothing where it is missing."""
        if not self.has(name):
            return []
        summary = self.results[name].summary
        return [Estimate(what, "accuracy", summary.final_mean, summary.interval, self.seeds(name))]


def make(found: Mapping[str, Result], place: Path) -> dict[str, Any]:
    """Return the record of all studies that the results allow, as plain values."""
    evidence = Evidence(found, place)
    made = {name: [asdict(estimate) for estimate in study(evidence)] for name, study in STUDIES.items()}
    return {"inputs": inputs(found), "studies": {name: lines for name, lines in made.items() if lines}, "kernels": kernels(evidence)}


def inputs(found: Mapping[str, Result]) -> str:
    """Return one hash of everything that the studies are made from."""
    files_used = {name: [result.predictions, *(run.sha256 for run in result.runs)] for name, result in found.items()}
    return files.sha256(files.canonical(files_used))


def epoch(evidence: Evidence) -> list[Estimate]:
    """How much of a claim is the choice of the epoch: best epoch minus last, seed by seed."""
    gains = {name: np.subtract(evidence.bests(name), evidence.finals(name)) for name in evidence.models}
    if not gains:
        return []
    claims = [claim for name in gains for claim in MODELS[name].claims if claim.best is not None and claim.final is not None]
    n = formatting.counted(len(gains), "model")
    mean, interval = float(np.mean([gain.mean() for gain in gains.values()])), bootstrap.cluster_interval(list(gains.values()))
    lines = [Estimate("All models", "gain", mean, interval, n, role="measured")]
    if claims:
        reported = float(np.mean([claim.best - claim.final for claim in claims]))
        n = formatting.counted(len(claims), "run")
        lines.append(Estimate("As the authors report it", "gain", reported, None, n, role="reported"))
    for name, gain in gains.items():
        note = f"{name}: seeds {formatting.points_interval((gain.min(), gain.max()))}"
        lines.append(Estimate(MODELS[name].title, "gain", float(gain.mean()), None, evidence.seeds(name), note))
    return lines


def seed(evidence: Evidence) -> list[Estimate]:
    """How much of a claim is one seed: the standard deviation between seeds, pooled over the models near the target."""
    finals = {name: np.array(evidence.finals(name)) for name in evidence.models if len(evidence.results[name].runs) > 1}
    near = [values for values in finals.values() if values.mean() >= NEAR]
    lines = []
    if near:
        freedom = sum(len(values) - 1 for values in near)
        pooled = math.sqrt(sum((len(values) - 1) * values.var(ddof=1) for values in near) / freedom)
        pairs = [abs(a - b) for values in near for a, b in combinations(values, 2)]
        what, n = f"Models that end at {formatting.percent(NEAR, 0)} or more, pooled", formatting.counted(len(near), "model")
        lines.append(Estimate(what, "spread", pooled, intervals.sd_interval(pooled, freedom), n, role="pooled"))
        n = formatting.counted(len(pairs), "pair")
        lines.append(Estimate("Two seeds of one of these differ on average by", "size", float(np.mean(pairs)), None, n))
        chance = 1.96 * math.sqrt(2) * pooled
        lines.append(
            Estimate("Two single runs of one recipe rarely differ by more than", "size", chance, None, "normal, 95%", role="chance")
        )
        expected, note = replication.expected_sd(MIN_ACCURACY, len(evidence.eval.labels)), "square root of error / (2 × images)"
        lines.append(Estimate("For comparison: a rule of thumb at the target", "spread", expected, None, "", note))
    for name, values in finals.items():
        sd = float(values.std(ddof=1))
        interval = intervals.sd_interval(sd, len(values) - 1)
        lines.append(Estimate(MODELS[name].title, "spread", sd, interval, evidence.seeds(name), name))
    return lines


def rebuilt(evidence: Evidence) -> list[Estimate]:
    """Running training accuracy against the published: of six times as many images, it shows best whether a recipe is the same."""
    lines = []
    for name in evidence.models:
        claim = next((claim for claim in MODELS[name].claims if claim.train is not None), None)
        if claim is None:
            continue
        bests = [max(run.history.train_accuracy) for run in evidence.results[name].runs]
        mean, interval = float(np.mean(bests)), None
        if len(bests) > 1:
            low, high = intervals.prediction_interval(mean, float(np.std(bests, ddof=1)), len(bests) - 1, len(bests))
            interval = (low - claim.train, high - claim.train)
        note = f"{name}: here {formatting.percent(mean)}, published {formatting.percent(claim.train)}"
        lines.append(Estimate(MODELS[name].title, "gain", mean - claim.train, interval, evidence.seeds(name), note, "model"))
    return lines


def augmentation(evidence: Evidence) -> list[Estimate]:
    """Take apart the step from Model 2 to Model 3 of mnist-cnn-aws, which changed four things."""
    second, third, more, less = "003-model-2", "003-model-3", "003-model-2-augmented", "003-model-3-unaugmented"
    if not evidence.has(second, third):
        return []
    claimed = MODELS[third].claim.headline - MODELS[second].claim.headline
    gain, interval = intervals.welch(evidence.bests(third), evidence.bests(second))
    return [
        Estimate("As claimed, best epochs", "gain", claimed, None, "one run each", role="claimed"),
        Estimate("The same here, best epochs", "gain", gain, interval, evidence.seeds(third, second)),
        *evidence.difference("All that changed, last epochs: Model 3 against Model 2", third, second),
        *evidence.difference("Augmentation alone, with Model 2's settings", more, second),
        *evidence.difference("Augmentation alone, with Model 3's settings", third, less),
        *evidence.effect("Augmentation alone, both together", [more, third], [second, less], role="alone"),
        *evidence.difference("Learning rate, weight decay and schedule alone", less, second),
    ]


def machine(evidence: Evidence) -> list[Estimate]:
    """Ask whether two machines, the open question of mnist_under_8k, differ by more than two seeds on one machine do."""
    name, half = "001-gap", "001-gap-half-dropout"
    if not evidence.has(name) or len(evidence.results[name].runs) < 2:
        return []
    bests, (first, other) = evidence.bests(name), README_FIGURES
    colab, _, apple = (claim.headline for claim in MODELS[name].claims)
    pairs = list(combinations(range(len(bests)), 2))
    distances = [abs(bests[a] - bests[b]) for a, b in pairs]
    only_one_wrong = [int((evidence.wrong[name][a] != evidence.wrong[name][b]).sum()) for a, b in pairs]
    n = f"{formatting.of(sum(distance >= first - other - 1e-9 for distance in distances), len(pairs))} pairs here do"
    chance, n_pairs = intervals.chance_of_difference(bests, first - other), formatting.counted(len(pairs), "pair")
    return [
        Estimate("In the README: its final figure above Colab's", "size", first - other, None, "one run each", role="size"),
        Estimate("In the logs: Colab above the Apple GPU", "gain", colab - apple, None, "one run each", "with half the dropout there"),
        Estimate("Two seeds on one machine, best epochs, on average", "size", float(np.mean(distances)), None, n_pairs),
        Estimate("Chance that two seeds differ by that or more", "share", chance, None, n, evidence.seeds(name), "chance"),
        Estimate("Images that exactly one of two seeds gets wrong", "count", float(np.mean(only_one_wrong)), None, "mean over the pairs"),
        *evidence.difference("Half the dropout, against the notebooks' dropout", half, name),
    ]


def leak(evidence: Evidence) -> list[Estimate]:
    """What monitoring the test images was worth: reported with the leak, against the run that monitors validation images."""
    lines = []
    for name in ("002-model-1", "002-model-2", "002-model-3"):
        honest = f"{name}-by-validation"
        if not evidence.has(name, honest):
            continue
        title, finals = MODELS[name].title, evidence.finals(honest)
        inflated, interval = intervals.welch(evidence.bests(name), finals)
        what, n = f"{title}: reported with the leak, against without it", evidence.seeds(name, honest)
        lines.append(Estimate(what, "gain", inflated, interval, n, role=title))
        chosen = float(np.mean(np.subtract(evidence.bests(honest), finals)))
        what, note = "For comparison: the choice of the epoch, without the leak", "best epoch on the test images, above the kept one"
        lines.append(Estimate(what, "gain", chosen, None, evidence.seeds(honest), note))
        lines += evidence.difference("Last epoch, with the leak and all training images, against without", name, honest)
    return lines


def fold_name(fold: int) -> str:
    """Return the name of the result of a fold, counted from 1."""
    return f"{BY_VALIDATION}-fold-{fold}"


def folds(evidence: Evidence) -> list[Estimate]:
    """Cross-validate by writer: every training image is predicted once, by a net that saw nothing of its writer."""
    found, parts, wrong = [], [], []
    for fold in range(1, N_FOLDS + 1):
        try:
            result, part = results.read(evidence.place / "results" / f"{fold_name(fold)}.json"), data.load(f"fold {fold} of {N_FOLDS}")
            if (result.recipe, result.split) != (ABLATIONS[BY_VALIDATION].recipe, part.split):
                raise ResultError(f"The result of {fold_name(fold)} is of another recipe; `make published` makes one.")
            wrong.append(misclassified.wrong(results.read_predictions(result, evidence.place)[0], part.eval.labels)[0])
        except ResultError as error:
            log.warning(f"The cross-validation is left out. {error}")
            return []
        found.append(result)
        parts.append(part.eval)
    errors = np.concatenate(wrong)
    writers, groups = (np.concatenate([getattr(part, name) for part in parts]) for name in ("writers", "groups"))
    interval = bootstrap.percentile_interval(bootstrap.resample([errors[None]], writers, groups)[:, 0])
    n, note = f"{formatting.count(len(errors))} images", "resampling writers, not nets"
    return [
        Estimate("Model_3, every training image", "accuracy", 1 - float(errors.mean()), interval, n, note),
        *(
            Estimate(result.split.capitalize(), "accuracy", result.runs[0].final, None, f"{formatting.count(result.n_eval)} images")
            for result in found
        ),
        *evidence.accuracy("For comparison: test images, by other writers", BY_VALIDATION),
    ]


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
        alone = [wrong[None] for wrong in evidence.wrong[name]]  # a table each: only writers are resampled, not nets
        drawn = bootstrap.resample([together[None], *alone], evidence.eval.writers, evidence.eval.groups)
        accuracy, n = 1 - float(together.mean()), evidence.seeds(name)
        interval = bootstrap.percentile_interval(drawn[:, 0])
        lines.append(Estimate(f"{MODELS[name].long_title}, together", "accuracy", accuracy, interval, n))
        interval = bootstrap.percentile_interval(drawn[:, 0] - drawn[:, 1:].mean(1))
        lines.append(Estimate("above the mean of the same nets alone", "gain", accuracy - result.summary.final_mean, interval, n))
    return lines


def compare(evidence: Evidence, study: str) -> list[Estimate]:
    """Return the comparisons that models.yaml lists for a study."""
    lines = COMPARISONS[study]
    return [
        estimate
        for line in lines
        for estimate in (evidence.difference(**line) if "before" in line else evidence.accuracy(line["what"], line["now"]))
    ]


STUDIES: dict[str, Callable[[Evidence], list[Estimate]]] = {
    "epoch": epoch,
    "seed": seed,
    "rebuilt": rebuilt,
    "augmentation": augmentation,
    "machine": machine,
    "logits": partial(compare, study="logits"),
    "order": partial(compare, study="order"),
    "leak": leak,
    "future": partial(compare, study="future"),
    "folds": folds,
    "ensemble": ensemble,
}


def kernels(evidence: Evidence) -> dict[str, Any] | None:
    """Return the first kernels of Model_3 of assignment-7, first seed, and how far each tap of its last convolution moved on average."""
    name = "002-model-3"
    if not evidence.has(name):
        return None
    run = results.read_runs(evidence.results[name], evidence.place)[0]
    before = train.new_model(get(name).recipe, run.seed).state_dict()
    layers = [layer for layer, value in before.items() if value.ndim == 4]  # convolutions, in their order
    moved = (run.weights[layers[-1]] - before[layers[-1]]).abs().mean((0, 1))
    return {"first": _rounded(run.weights[layers[0]][:, 0]), "moved": _rounded(moved)}


def _rounded(values: Any) -> list[Any]:
    return [_rounded(value) if value.ndim else round(float(value), 4) or float(value) for value in values]
