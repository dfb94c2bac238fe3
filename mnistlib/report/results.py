"""A step's result and its JSON: made, saved beside its checkpoints, read back, compared with the step before."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mnistlib import data, files, formatting, steps, written
from mnistlib.errors import MnistlibError, ResultError
from mnistlib.published import early_stopping, folds
from mnistlib.recipe import Recipe
from mnistlib.report.result import SCHEMA, Conditions, Result, Run, from_json, to_json
from mnistlib.runs import checkpoints, storage
from mnistlib.stats import misclassified
from mnistlib.stats import summary as evidence
from mnistlib.stats.summary import Claim

HISTORY = tuple(field.name for field in fields(storage.History))


def make(
    step: steps.Step,
    mnist: data.Mnist,
    trials: Sequence[storage.Trial],
    *,
    n_parameters: int,
    n_macs: int,
    receptive_field: int,
    provenance: dict[str, Any],
    recipe: Recipe | None = None,
    before: Result | None = None,
    wrong_before: np.ndarray | None = None,
    claims: Sequence[Claim] = (),
    claim: dict[str, Any] | None = None,
    keys: dict[str, Any] | None = None,
) -> Result:
    """Make the result of a step from its trials.

    `recipe` is what was run where that differs from the step's. `before` is a comparable result with its mistakes
    `wrong_before`, bool [n_seeds, n_images] over the same images. The offline sample and limited runs get no verdict.
    """
    ran = recipe or step.recipe
    _check(trials, ran)
    runs = tuple(_run(step.name, trial, ran) for trial in trials)
    wrong = misclassified.wrong([trial.predictions for trial in trials], mnist.test.labels)
    writers, groups = mnist.test.writers, mnist.test.groups
    summary = evidence.summarise([run.test_accuracy[: run.kept] for run in runs], wrong, writers, groups)
    difference = None
    if before is not None and wrong_before is not None:
        difference = evidence.difference(wrong, wrong_before, writers, groups, before.step)
    judged = mnist.dataset == "mnist" and mnist.limit is None
    made = {"notebook": None, "recipe": files.sha256(files.canonical(written.as_dict(ran))), "data": mnist.sha256, "reference": []}
    result = Result(
        step=step.name,
        title=step.title,
        dataset=mnist.dataset,
        split=mnist.split,
        limit=mnist.limit,
        n_train=len(folds.steered(mnist, ran.steering.by if ran.steering else None)[0].labels),
        n_test=len(mnist.test.labels),
        model=ran.model,
        n_parameters=n_parameters,
        n_macs=n_macs,
        receptive_field=receptive_field,
        epochs=ran.epochs,
        recipe=ran,
        claim=claim,
        notes=tuple(mnist.notes),
        runs=runs,
        summary=summary,
        difference=difference,
        verdict=evidence.verdict(n_parameters, ran.epochs, summary) if judged else None,
        claims=tuple(claims),
        provenance=provenance,
        keys=made | (keys or {}),
    )
    if before is not None:
        as_wanted = before.epochs == steps.epochs_before(step, ran.epochs)
        sentence = obstacle(replace(result.conditions, epochs=before.epochs) if as_wanted else result.conditions, before)
        if sentence:
            raise ResultError(sentence)
    return result


def _check(trials: Sequence[storage.Trial], recipe: Recipe) -> None:
    """Raise ResultError unless the trials are those of one recipe: some seeds, each once, all as long as it says."""
    seeds = [trial.seed for trial in trials]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ResultError(f"A result needs at least one seed and each seed once; these are {seeds}.")
    for trial in trials:
        n = len(trial.history.test_accuracy)
        if n != recipe.epochs and not (n < recipe.epochs and early_stopping.ended(recipe, trial.history)):
            raise ResultError(f"Seed {trial.seed} has {n} epochs where the recipe asks for {recipe.epochs}.")


def _run(step: str, trial: storage.Trial, recipe: Recipe) -> Run:
    """Return a trial as a result keeps it."""
    history = {name: tuple(float(value) for value in getattr(trial.history, name)) for name in HISTORY}
    figures = [trial.train_accuracy_clean, *(value for values in history.values() for value in values)]
    return Run(
        seed=trial.seed,
        key=trial.key,
        status="finished" if all(math.isfinite(value) for value in figures) else "diverged",
        train_accuracy_clean=float(trial.train_accuracy_clean),
        checkpoint=f"checkpoints/{step}-seed{trial.seed}.safetensors",
        sha256=files.sha256(checkpoints.pack(trial.weights)),
        kept=early_stopping.kept(recipe, trial.history) if recipe.steering and recipe.steering.keep == "best" else None,
        **history,
    )


def base(folder: Path, dataset: str) -> Path:
    """Return where under a results folder a data set's results and checkpoints lie: the offline sample's are kept apart."""
    return folder if dataset == "mnist" else folder / dataset


def save(result: Result, trials: Sequence[storage.Trial], folder: Path) -> Path:
    """Write a result and the checkpoints of its trials under `folder`, and return the path of its JSON.

    Checkpoints of this step that the result does not name are removed.
    """
    place = files.writable(base(folder, result.dataset))
    weights = {trial.seed: checkpoints.pack(trial.weights) for trial in trials}
    for run in result.runs:
        if files.sha256(weights.get(run.seed, b"")) != run.sha256:
            raise ResultError(f"The weights of seed {run.seed} are not those the result was made from.")
    for run in result.runs:
        files.write(place / run.checkpoint, weights[run.seed])
    path = files.write_json(place / "results" / f"{result.step}.json", to_json(result))
    named = {Path(run.checkpoint).name for run in result.runs}
    for other in (place / "checkpoints").glob(f"{result.step}-seed*.safetensors"):
        if other.name not in named:
            other.unlink()
    return path


def read(path: Path) -> Result:
    """Read a result, or raise ResultError where the file is missing, of another schema, or edited since it was written."""
    name = f"{path.parent.name}/{path.name}"
    try:
        value = json.loads(path.read_bytes(), parse_constant=_refuse)
    except FileNotFoundError:
        raise ResultError(f"There is no result {name}; run the step's notebook to make it.") from None
    except OSError as error:
        raise ResultError(f"The result {name} cannot be read ({error.strerror}).") from None
    except ValueError:
        raise ResultError(f"The result {name} is not JSON; run the step's notebook again.") from None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        schema = value.get("schema") if isinstance(value, dict) else None
        raise ResultError(f"The result {name} has schema {schema!r}; this version reads schema {SCHEMA}. Run the step's notebook again.")
    stored = value.pop("sha256", None)
    if files.sha256(files.canonical(value)) != stored:
        raise ResultError(f"The result {name} was changed after it was written. Restore it or run the step's notebook again.")
    try:
        return from_json(value)
    except (KeyError, TypeError, AttributeError, MnistlibError) as error:
        raise ResultError(f"The result {name} does not fit schema {SCHEMA} ({error}). Run the step's notebook again.") from None


def weights(run: Run, place: Path) -> dict[str, Tensor]:
    """Return a run's final weights from its checkpoint under `place`, the folder that holds results/ and checkpoints/."""
    return checkpoints.read(place / run.checkpoint, run.sha256)


def _refuse(constant: str) -> None:
    """Refuse NaN and infinities, which JSON does not have and Python would read."""
    raise ValueError(constant)


def stored(result: Result, place: Path) -> list[tuple[dict[str, Any], dict[str, Tensor]]]:
    """Return what rebuilds each trial of a result: its fields `key`, `seed`, `history`, `train_accuracy_clean`, and its checked weights.

    Its predictions and confidences follow from a forward pass.
    """
    rebuilt = []
    for run in result.runs:
        history = storage.History(**{name: list(getattr(run, name)) for name in HISTORY})
        about = {"key": run.key, "seed": run.seed, "history": history, "train_accuracy_clean": run.train_accuracy_clean}
        rebuilt.append((about, weights(run, place)))
    return rebuilt


def of_checkpoint(path: Path) -> tuple[Result, Run, dict[str, Tensor]]:
    """Return the result and the run that a checkpoint file belongs to, and its checked weights."""
    place, name = path.parent.parent, f"checkpoints/{path.name}"
    result = read(place / "results" / f"{path.stem.rpartition('-seed')[0]}.json")
    for run in result.runs:
        if run.checkpoint == name:
            return result, run, weights(run, place)
    raise ResultError(f"The result of {result.step} names no checkpoint {path.name}.")


def conditions(mnist: data.Mnist, epochs: int) -> Conditions:
    """Return what a result must share to be compared with a run of `epochs` on this data."""
    return Conditions(mnist.dataset, mnist.split, epochs, mnist.limit, mnist.sha256)


def obstacle(wanted: Conditions, before: Result) -> str:
    """Return the sentence that says why there is no comparison with an earlier result, or "" where there is one."""
    has, words = before.conditions, []
    for name in ("dataset", "split", "epochs", "limit"):
        if getattr(has, name) != getattr(wanted, name):
            words.append(f"{name} {formatting.number(getattr(has, name))} instead of {formatting.number(getattr(wanted, name))}")
    if not words and wanted.split == "validation" and has.data != wanted.data:
        words = ["other validation images"]
    return f"There is no comparison with {before.step}: its result is of {' and '.join(words)}." if words else ""


@dataclass(frozen=True)
class Found:
    """An earlier result and the folder that holds its results/ and checkpoints/, or the sentence that says why there is none."""

    result: Result | None
    place: Path | None
    sentence: str = ""


def find(step: str | None, wanted: Conditions, folder: Path, reports: Path | None = None) -> Found:
    """Look for a comparable result with all its checkpoints: in the reader's results folder, then among the committed reports."""
    if step is None:
        return Found(None, None, "This is the first step; there is none before it to compare with.")
    sentences = []
    committed = reports or files.root() / "reports"
    for place in (base(folder, wanted.dataset), base(committed, wanted.dataset), base(committed / "published", wanted.dataset)):
        path = place / "results" / f"{step}.json"
        if not path.exists():
            continue
        try:
            result = read(path)
            stored(result, place)
        except ResultError as error:
            sentences.append(str(error))
            continue
        sentence = obstacle(wanted, result)
        if not sentence:
            return Found(result, place)
        sentences.append(sentence)
    none = f"There is no result of {step} to compare with; run its notebook with the same settings first."
    return Found(None, None, " ".join(dict.fromkeys(sentences)) or none)
