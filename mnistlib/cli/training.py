"""A step or a published row trained without a notebook: the same trials, the same result, a log file, no page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistlib import data, files, steps
from mnistlib.errors import AmbiguityError, SettingError, nearest
from mnistlib.notebook import params
from mnistlib.notebook.params import Settings
from mnistlib.notebook.runner import STOPS
from mnistlib.published import registry, replication
from mnistlib.published.registry import ARMS, ROWS, Row
from mnistlib.report import step_report
from mnistlib.report.result import Result
from mnistlib.runs import seeds as trials

NOTEBOOK = "published"


@dataclass(frozen=True)
class Trained:
    """What a training run left."""

    result: Result
    path: Path  # of the result's JSON
    log: Path  # one line per epoch and seed


def find(name: str) -> steps.Step | Row:
    """Return a step or a published row by its name; an unknown one raises SettingError with all names and the nearest."""
    if name in steps.STEPS:
        return steps.get(name)
    try:
        return registry.get(name)
    except AmbiguityError:
        raise
    except SettingError:
        pass
    names = [*steps.STEPS, *ROWS, *ARMS]
    raise SettingError(
        f"There is no step or row {name!r}.{nearest(name, names)} The steps are {', '.join(steps.STEPS)}; "
        f"the published rows {', '.join(ROWS)}; those of the studies {', '.join(ARMS)}."
    )


def run(name: str, given: Mapping[str, Any], show: Callable[[str], Any] = lambda line: print(line, flush=True)) -> Trained:
    """Train a step or a row, save its result and checkpoints, and write what is shown into results_dir/logs/<name>.log as well.

    `given` are the parameters of a notebook; a row trains as many seeds as it asks for unless told otherwise. Raises SettingError
    for an unknown name or a bad parameter before anything is read.
    """
    found = find(name)
    params.check_names(given, list(Settings.__dataclass_fields__))
    seeds = found.seeds if isinstance(found, Row) else list(Settings.seeds)
    checked = params.read({"seeds": seeds} | dict(given))
    step = found.step if isinstance(found, Row) else found
    recipe = checked.recipe(step.recipe)
    mnist = data.load(checked.dataset, checked.split, checked.limit, checked.data_dir, show=show)
    log = checked.results_dir / "logs" / f"{step.name}.log"
    lines: list[str] = []

    def both(line: str) -> None:
        lines.append(line)
        files.write(log, "\n".join(lines) + "\n")
        show(line)

    both(f"{step.name}: {step.title}, {recipe.model}")
    for note in mnist.notes:
        both(note if note.endswith(STOPS) else f"{note}.")
    runs = trials.fit(recipe, mnist, checked.seeds, device=checked.device, workers=checked.workers, reuse=checked.reuse, show=both)
    notebook, claim = (NOTEBOOK, replication.claim_of(found)) if isinstance(found, Row) else (None, None)
    told = step_report.make(step, recipe, mnist, runs, checked, notebook, claim)
    return Trained(told.result, told.path, log)
