"""The choices of each step, made on the validation split, with every candidate on record."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from mnistlib import data, descent, files, formatting, models, steps, train, written
from mnistlib.recipe import MAX_PARAMETERS, Recipe
from mnistlib.report import model_summary
from mnistlib.runs import device, provenance, seeds
from mnistlib.runs.storage import Trial
from mnistlib.selection import candidates
from mnistlib.selection.candidates import Candidate

SEEDS = (0, 1, 2)
MAX_MACS = 500_000  # per image: what lets five seeds train within ten minutes on two cores
RULE = (
    "the highest mean accuracy on the validation images at the last epoch, among the nets within the exercise's limit that take at most "
    f"{formatting.count(MAX_MACS)} multiply-accumulates an image, so that five seeds train in minutes; where there are finalists, judged under "
    "the warps that a later step will add, the best of them; the recipe as it is stands beside the candidates as a yardstick"
)
FREE = "00_skeleton"  # the one step that may exceed the limit
QUICK = ("04_speed", "05_short")  # the steps that look for time, not accuracy
MARGIN = 0.0005  # of accuracy: what a quicker candidate may lack on the validation images, less than the spread between seeds
ROUNDS = 5  # of timing
TIMED = 6_400  # training images of a timed round
QUICK_RULE = (
    "the least time to train a seed, among the nets within the exercise's limit whose mean accuracy on the validation images is at most "
    f"{formatting.percent(MARGIN)} below that of the recipe as it is, both at the last epoch; the time is that of one thread of the processor "
    f"on record, the median of {formatting.count(ROUNDS)} rounds in which all candidates take turns, alone on the machine"
)


def choose(name: str, show: Callable[[str], Any] = print, reports: Path | None = None, mnist: data.Mnist | None = None) -> dict[str, Any]:
    """Train every candidate of a step on the validation split, what is stored excepted, and write reports/choices/<step>.json."""
    step = steps.get(name)
    mnist = mnist or data.load("mnist", "validation")
    started = time.time()
    ideas = candidates.CANDIDATES[name]
    tasks = [(candidate, seed) for candidate in ideas for seed in SEEDS]
    # A thread per core, each with one worker process at a time, keeps all cores busy to the end.
    with ThreadPoolExecutor(device.cores()) as pool:
        runs = list(pool.map(lambda task: _run(step, *task, mnist, show), tasks))
    rows = [_row(step, candidate, runs[place * len(SEEDS) : (place + 1) * len(SEEDS)]) for place, candidate in enumerate(ideas)]
    if name in QUICK:
        for row, seconds in zip(rows, _times([candidates.recipe(step, candidate) for candidate in ideas], mnist), strict=True):
            row["seconds"] = seconds
    record = {
        "schema": 1,
        "step": name,
        "before": step.before,
        "split": mnist.split,
        "n_train": len(mnist.train.labels),
        "n_judged": len(mnist.test.labels),
        "by_writer": mnist.by_writer,
        "seeds": list(SEEDS),
        "rule": rule(name),
        "candidates": rows,
        "chosen": chosen(name, rows),
        "provenance": provenance.collect(started, time.time() - started, "cpu", device.cores()),
    }
    files.write_json(path(name, reports), record)
    return record


def rule(name: str) -> str:
    """Return the rule by which a step's candidates are judged."""
    return QUICK_RULE if name in QUICK else RULE


def chosen(name: str, rows: list[dict[str, Any]]) -> str:
    """Return the name of the candidate that the step's rule picks; one that changes nothing is the yardstick, and never picked."""
    allowed = [row for row in rows if row["change"] and (name == FREE or row["n_parameters"] < MAX_PARAMETERS)]
    if name in QUICK:
        yardstick = next(row for row in rows if not row["change"])
        good = [row for row in allowed if row["mean"] >= yardstick["mean"] - MARGIN]
        return min(good or [yardstick], key=lambda row: row["seconds"])["name"]
    fast = [row for row in allowed if name == FREE or row["n_macs"] <= MAX_MACS]
    finalists = [row for row in fast if row["finalist"]]
    return max(finalists or fast, key=lambda row: row["mean"])["name"]


def _run(step: steps.Step, candidate: Candidate, seed: int, mnist: data.Mnist, show: Callable[[str], Any]) -> Trial:
    """Train one seed of one candidate, unless it is stored, and say how it ended."""
    recipe = candidates.recipe(step, candidate)
    (run,) = seeds.fit(recipe, mnist, [seed], device="cpu", workers=1, reuse=True, show=lambda line: None)
    show(f"{step.name}  {candidate.name}  seed {seed}  {formatting.percent(run.history.test_accuracy[-1])}")
    return run


def _row(step: steps.Step, candidate: Candidate, runs: list[Trial]) -> dict[str, Any]:
    """Return a candidate's line of the record."""
    recipe = candidates.recipe(step, candidate)
    about = model_summary.of(models.build(recipe.model, recipe.dropout))
    final = [run.history.test_accuracy[-1] for run in runs]
    return {
        "name": candidate.name,
        "idea": candidate.idea,
        "change": list(candidate.change),
        "finalist": candidate.under is not None,
        "recipe": written.as_dict(recipe),
        "n_parameters": about.n_parameters,
        "n_macs": about.n_macs,
        "final": final,
        "loss": statistics.mean(run.history.test_loss[-1] for run in runs),
        "train_accuracy_clean": statistics.mean(run.train_accuracy_clean for run in runs),
        "mean": statistics.mean(final),
        "sd": statistics.stdev(final),
    }


def _times(recipes: list[Recipe], mnist: data.Mnist) -> list[float]:
    """Return the seconds that each recipe trains, judging apart: part of an epoch of each in turn, the median taken to the whole."""
    device.tune()
    images, labels = mnist.train.images[:TIMED], mnist.train.labels[:TIMED]
    nets = [train.fresh(recipe, 0).to(memory_format=torch.channels_last) for recipe in recipes]
    optimizers = [descent.optimizer_of(net.parameters(), recipe) for net, recipe in zip(nets, recipes, strict=True)]
    seconds: list[list[float]] = [[] for _ in recipes]
    for epoch in range(1 + ROUNDS):  # the first warms up
        for net, optimizer, recipe, taken in zip(nets, optimizers, recipes, seconds, strict=True):
            clock = time.perf_counter()
            train.one_epoch(net, optimizer, {}, images, labels, recipe, 0, epoch)
            taken.append(time.perf_counter() - clock)
    whole = len(mnist.train.labels) / len(labels)
    return [statistics.median(taken[1:]) * whole * recipe.epochs for taken, recipe in zip(seconds, recipes, strict=True)]


def path(name: str, reports: Path | None = None) -> Path:
    """Return where the record of a step's choice is kept."""
    return (reports or files.root() / "reports") / "choices" / f"{name}.json"


def read(name: str, reports: Path | None = None) -> dict[str, Any] | None:
    """Return the record of a step's choice, or None where none was made."""
    place = path(name, reports)
    return json.loads(place.read_text()) if place.is_file() else None
