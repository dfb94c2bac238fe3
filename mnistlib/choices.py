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

from mnistlib import anatomy, candidates, data, files, form, models, provenance, steps, trials
from mnistlib.candidates import Candidate
from mnistlib.recipe import MAX_PARAMETERS

SEEDS = (0, 1, 2)
RULE = "the highest mean accuracy on the validation images at the last epoch, among the nets within the exercise's limit"
FREE = "00_skeleton"  # the one step that may exceed the limit


def choose(name: str, show: Callable[[str], Any] = print, reports: Path | None = None) -> dict[str, Any]:
    """Train every candidate of a step on the validation split, what is stored excepted, and write reports/choices/<step>.json."""
    step = steps.get(name)
    mnist = data.load("mnist", "validation")
    started = time.time()
    # A thread per core, each with one candidate and one worker process, keeps all cores busy to the end.
    with ThreadPoolExecutor(trials.cores()) as pool:
        rows = list(pool.map(lambda candidate: _row(step, candidate, mnist, show), candidates.CANDIDATES[name]))
    allowed = [row for row in rows if name == FREE or row["n_parameters"] < MAX_PARAMETERS]
    chosen = max(allowed, key=lambda row: row["mean"])["name"]
    record = {
        "schema": 1,
        "step": name,
        "before": step.before,
        "split": mnist.split,
        "n_train": len(mnist.train.labels),
        "n_judged": len(mnist.test.labels),
        "by_writer": mnist.by_writer,
        "seeds": list(SEEDS),
        "rule": RULE,
        "candidates": rows,
        "chosen": chosen,
        "provenance": provenance.collect(started, time.time() - started, "cpu", trials.cores()),
    }
    files.write_json(path(name, reports), record)
    return record


def _row(step: steps.Step, candidate: Candidate, mnist: data.Mnist, show: Callable[[str], Any]) -> dict[str, Any]:
    """Train one candidate and return its line of the record."""
    recipe = candidates.recipe(step, candidate)
    runs = trials.fit(recipe, mnist, SEEDS, device="cpu", workers=1, reuse=True, show=lambda line: None)
    final = [run.history.test_accuracy[-1] for run in runs]
    mean, sd = statistics.mean(final), statistics.stdev(final)
    show(f"{step.name}  {candidate.name}  {form.mean_sd(mean, sd)}")
    return {
        "name": candidate.name,
        "idea": candidate.idea,
        "change": [field for field in candidate.change],
        "recipe": asdict(recipe),
        "n_parameters": anatomy.of(models.build(recipe.model, recipe.dropout)).n_parameters,
        "final": final,
        "loss": statistics.mean(run.history.test_loss[-1] for run in runs),
        "train_accuracy_clean": statistics.mean(run.train_accuracy_clean for run in runs),
        "mean": mean,
        "sd": sd,
    }


def path(name: str, reports: Path | None = None) -> Path:
    """Return where the record of a step's choice is kept."""
    return (reports or files.root() / "reports") / "choices" / f"{name}.json"


def read(name: str, reports: Path | None = None) -> dict[str, Any] | None:
    """Return the record of a step's choice, or None where none was made."""
    place = path(name, reports)
    return json.loads(place.read_text()) if place.is_file() else None
