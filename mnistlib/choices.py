"""The choices of each step, made on the validation split, with every candidate on record."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mnistlib import anatomy, candidates, data, files, form, machine, models, provenance, steps, trials
from mnistlib.candidates import Candidate
from mnistlib.recipe import MAX_PARAMETERS
from mnistlib.state import Trial

SEEDS = (0, 1, 2)
MAX_MACS = 500_000  # per image: what lets five seeds train within ten minutes on two cores
RULE = (
    "the highest mean accuracy on the validation images at the last epoch, among the nets within the exercise's limit that take at most "
    f"{form.count(MAX_MACS)} multiply-accumulates an image, so that five seeds train in minutes; where there are finalists, judged under "
    "the warps that a later step will add, the best of them; the recipe as it is stands beside the candidates as a yardstick"
)
FREE = "00_skeleton"  # the one step that may exceed the limit
QUICK = ("04_speed", "05_short")  # the steps that look for time, not accuracy
MARGIN = 0.0005  # of accuracy: what a quicker candidate may lack on the validation images, less than the spread between seeds
QUICK_RULE = (
    f"the least time to train a seed, among the nets within the exercise's limit whose mean accuracy on the validation images is at most "
    f"{form.percent(MARGIN)} below that of the recipe as it is, both at the last epoch; time is that of the processor the record names"
)


def choose(name: str, show: Callable[[str], Any] = print, reports: Path | None = None, mnist: data.Mnist | None = None) -> dict[str, Any]:
    """Train every candidate of a step on the validation split, what is stored excepted, and write reports/choices/<step>.json."""
    step = steps.get(name)
    mnist = mnist or data.load("mnist", "validation")
    started = time.time()
    ideas = candidates.CANDIDATES[name]
    tasks = [(candidate, seed) for candidate in ideas for seed in SEEDS]
    # A thread per core, each with one worker process at a time, keeps all cores busy to the end.
    with ThreadPoolExecutor(machine.cores()) as pool:
        runs = list(pool.map(lambda task: _run(step, *task, mnist, show), tasks))
    rows = [_row(step, candidate, runs[place * len(SEEDS) : (place + 1) * len(SEEDS)]) for place, candidate in enumerate(ideas)]
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
        "provenance": provenance.collect(started, time.time() - started, "cpu", machine.cores()),
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
    (run,) = trials.fit(recipe, mnist, [seed], device="cpu", workers=1, reuse=True, show=lambda line: None)
    show(f"{step.name}  {candidate.name}  seed {seed}  {form.percent(run.history.test_accuracy[-1])}")
    return run


def _row(step: steps.Step, candidate: Candidate, runs: list[Trial]) -> dict[str, Any]:
    """Return a candidate's line of the record."""
    recipe = candidates.recipe(step, candidate)
    about = anatomy.of(models.build(recipe.model, recipe.dropout))
    final = [run.history.test_accuracy[-1] for run in runs]
    return {
        "name": candidate.name,
        "idea": candidate.idea,
        "change": list(candidate.change),
        "finalist": candidate.under is not None,
        "recipe": asdict(recipe),
        "n_parameters": about.n_parameters,
        "n_macs": about.n_macs,
        "final": final,
        "loss": statistics.mean(run.history.test_loss[-1] for run in runs),
        "train_accuracy_clean": statistics.mean(run.train_accuracy_clean for run in runs),
        "seconds": statistics.median(sum(run.history.seconds) for run in runs),
        "mean": statistics.mean(final),
        "sd": statistics.stdev(final),
    }


def path(name: str, reports: Path | None = None) -> Path:
    """Return where the record of a step's choice is kept."""
    return (reports or files.root() / "reports") / "choices" / f"{name}.json"


def read(name: str, reports: Path | None = None) -> dict[str, Any] | None:
    """Return the record of a step's choice, or None where none was made."""
    place = path(name, reports)
    return json.loads(place.read_text()) if place.is_file() else None
