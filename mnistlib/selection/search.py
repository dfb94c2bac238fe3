"""The choice of each step, made on writers who are held out in turn, with every candidate on record."""

import itertools
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mnistlib import data, files, formatting, models, recipe_dict, steps
from mnistlib.logs import log
from mnistlib.recipe import MAX_PARAMETERS, Recipe
from mnistlib.report import model_summary
from mnistlib.runs import Run, device, provenance, seeds
from mnistlib.selection import candidates
from mnistlib.selection.candidates import Candidate

FOLDS = 7  # of the training writers; the last one is held back and chooses nothing
SEEDS = tuple(range(FOLDS - 1))  # seed s is trained without fold s + 1 and evaluated on it, for every candidate alike
MAX_MACS = 500_000  # per image, so that five seeds train within five minutes on two cores


def choose(name: str) -> dict[str, Any]:
    """Train every candidate of a step on each fold, cached runs excepted, and write reports/choices/<step>.json."""
    step = steps.get(name)
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
    record = {
        "schema": 2,
        "step": name,
        "before": step.before,
        "splits": [fold.split for fold in folds],
        "n_train": [len(fold.train.labels) for fold in folds],
        "n_eval": [len(fold.eval.labels) for fold in folds],
        "seeds": list(SEEDS),
        "rule": rule(rows),
        "candidates": rows,
        "chosen": chosen(rows),
        "provenance": provenance.combine([run.provenance for run in runs], sum(sum(run.history.seconds) for run in runs)),
    }
    files.write_signed(path(name), record)
    seeds.reported(Path(seeds.FOLDER), [run.key for run in runs])
    return record


def rule(rows: Sequence[dict[str, Any]]) -> str:
    """Return in words how the choice among these candidates is made; `chosen` makes it."""
    text = f"the highest mean accuracy at the last epoch, over {formatting.count(len(SEEDS))} folds"
    if len({row["n_parameters"] for row in rows}) > 1:
        most = formatting.count(MAX_MACS)
        text += f", among the nets within the parameter limit that take at most {most} multiply-accumulates an image"
    return text if all(row["change"] for row in rows) else f"{text}. The recipe as it was is not among those to choose from"


def chosen(rows: Sequence[dict[str, Any]]) -> str:
    """Return the name of the candidate that the rule picks."""
    allowed = [row for row in rows if row["change"] and row["n_parameters"] < MAX_PARAMETERS and row["n_macs"] <= MAX_MACS]
    return max(allowed, key=lambda row: row["mean"])["name"]


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


def path(name: str) -> Path:
    """Return where the record of a step's choice is kept."""
    return files.root() / "reports" / "choices" / f"{name}.json"


def read(name: str) -> dict[str, Any] | None:
    """Return the record of a step's choice, or None where there is none; a record that was changed raises ResultError."""
    return files.read_signed(path(name)) if path(name).is_file() else None
