"""The choice of each step, made on writers who are held out in turn, with every candidate on record."""

import itertools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mnistlib import data, files, formatting, models, recipe_dict, steps
from mnistlib.data import Mnist
from mnistlib.logs import log
from mnistlib.recipe import MAX_PARAMETERS, Recipe
from mnistlib.report import model_summary
from mnistlib.runs import Run, device, provenance, seeds
from mnistlib.selection import candidates
from mnistlib.selection.candidates import Candidate
from mnistlib.train import Trainer

FOLDS = 7  # of the training writers; the last one is held back and chooses nothing
SEEDS = tuple(range(FOLDS - 1))  # seed s is trained without fold s + 1 and evaluated on it, for every candidate alike
MAX_MACS = 500_000  # per image, so that five seeds train within five minutes on two cores
RULE = (
    f"the highest mean accuracy at the last epoch, over {formatting.count(len(SEEDS))} folds, among the nets within the parameter limit "
    f"that take at most {formatting.count(MAX_MACS)} multiply-accumulates an image. The baseline is never chosen"
)
QUICK = ("04_speed", "05_short")  # the steps that look for time, not accuracy
MARGIN = 0.0005  # of accuracy: what a faster candidate may lack on the validation images, less than the spread between seeds
ROUNDS = 5  # of timing
TIMED = 6_400  # training images of a timed round
QUICK_RULE = (
    "the shortest training time of a seed, among the nets within the parameter limit whose mean accuracy on the validation images is at "
    f"most {formatting.percent(MARGIN)} below that of the baseline, both at the last epoch. The time is that of one thread of the "
    f"processor on record: the median of {formatting.count(ROUNDS)} rounds in which all candidates take turns"
)


def choose(name: str) -> dict[str, Any]:
    """Train every candidate of a step on each fold, cached runs excepted, and write reports/choices/<step>.json."""
    step, started = steps.get(name), time.time()
    folds = [data.load(f"fold {seed + 1} of {FOLDS}") for seed in SEEDS]
    considered = candidates.CANDIDATES[name]
    recipes = [candidates.recipe(step, candidate) for candidate in considered]

    def train(place: int, seed: int) -> Run:
        (run,) = seeds.train_seeds(recipes[place], folds[seed], [seed], "cpu", workers=1, use_cached=True)
        log.info(f"{name}  {considered[place].name}  seed {seed}  {formatting.percent(run.final)}")
        return run

    # One thread per core, each with one worker process at a time, keeps all cores busy to the end.
    with ThreadPoolExecutor(device.n_cores()) as pool:
        runs = list(pool.map(lambda task: train(*task), itertools.product(range(len(considered)), SEEDS)))
    by_candidate = [runs[first : first + len(SEEDS)] for first in range(0, len(runs), len(SEEDS))]
    rows = [_row(*entry) for entry in zip(considered, recipes, by_candidate, strict=True)]
    if name in QUICK:
        for row, seconds in zip(rows, training_times(recipes, folds[0]), strict=True):
            row["seconds"] = seconds
    record = {
        "schema": 2,
        "step": name,
        "before": step.before,
        "splits": [fold.split for fold in folds],
        "n_train": [len(fold.train.labels) for fold in folds],
        "n_eval": [len(fold.eval.labels) for fold in folds],
        "seeds": list(SEEDS),
        "rule": rule(name),
        "candidates": rows,
        "chosen": chosen(name, rows),
        "provenance": provenance.collect(started, time.time() - started, "cpu", device.n_cores()),
    }
    files.write_signed(path(name), record)
    seeds.reported(Path(seeds.FOLDER), [run.key for run in runs])
    return record


def rule(name: str) -> str:
    """Return the rule by which a step chooses."""
    return QUICK_RULE if name in QUICK else RULE


def chosen(name: str, rows: list[dict[str, Any]]) -> str:
    """Return the name of the candidate that the step's rule picks."""
    allowed = [row for row in rows if row["change"] and row["n_parameters"] < MAX_PARAMETERS]
    if name in QUICK:
        baseline = next(row for row in rows if not row["change"])
        good = [row for row in allowed if row["mean"] >= baseline["mean"] - MARGIN]
        return min(good or [baseline], key=lambda row: row["seconds"])["name"]
    return max((row for row in allowed if row["n_macs"] <= MAX_MACS), key=lambda row: row["mean"])["name"]


def _row(candidate: Candidate, recipe: Recipe, runs: list[Run]) -> dict[str, Any]:
    net = model_summary.of(models.build(recipe.model, recipe.dropout))
    final = [run.final for run in runs]
    return {
        "name": candidate.name,
        "idea": candidate.idea,
        "change": list(candidate.change),
        "recipe": recipe_dict.to_dict(recipe),
        "n_parameters": net.n_parameters,
        "n_macs": net.n_macs,
        "final": final,
        "loss": statistics.mean(run.history.eval_loss[-1] for run in runs),
        "train_accuracy_clean": statistics.mean(run.train_accuracy_clean for run in runs),
        "mean": statistics.mean(final),
        "sd": statistics.stdev(final),
    }


def training_times(recipes: list[Recipe], mnist: Mnist) -> list[float]:
    """Return the seconds that each recipe trains, evaluation left out: the median of parts of an epoch, multiplied up to all epochs."""
    device.tune()
    images, labels = mnist.train.images[:TIMED], mnist.train.labels[:TIMED]
    trainers = [Trainer(recipe, 0) for recipe in recipes]
    seconds: list[list[float]] = [[] for _ in recipes]
    for _ in range(1 + ROUNDS):  # the first warms up
        for trainer, measured in zip(trainers, seconds, strict=True):
            clock = time.perf_counter()
            trainer.epoch(images, labels)
            measured.append(time.perf_counter() - clock)
    parts = len(mnist.train.labels) / len(labels)
    return [statistics.median(measured[1:]) * parts * recipe.epochs for measured, recipe in zip(seconds, recipes, strict=True)]


def path(name: str) -> Path:
    """Return where the record of a step's choice is kept."""
    return files.root() / "reports" / "choices" / f"{name}.json"


def read(name: str) -> dict[str, Any] | None:
    """Return the record of a step's choice, or None where there is none; a record that was changed raises ResultError."""
    return files.read_signed(path(name)) if path(name).is_file() else None
