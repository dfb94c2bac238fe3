"""Train a step or a published model without a notebook: the same runs, the same result, and a log instead of a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnistlib import data, logs, steps
from mnistlib.errors import SettingError
from mnistlib.logs import log
from mnistlib.notebook import params
from mnistlib.notebook.params import Params
from mnistlib.published import repository
from mnistlib.report import step_report
from mnistlib.report.step_report import StepReport
from mnistlib.runs import seeds


def find(name: str) -> steps.Step:
    """Return a step or a published model by its name; an unknown one raises SettingError with the nearest."""
    if name in steps.STEPS:
        return steps.get(name)
    try:
        return repository.get(name).step()
    except repository.AmbiguityError:
        raise
    except SettingError:
        return steps.get(name)  # whose error names steps and models


def run(name: str, given: Mapping[str, Any]) -> tuple[StepReport, Path]:
    """Train a step or a published model, save its result and checkpoints, and return its report and its log.

    `given` are a notebook's parameters. An unknown name or a bad parameter raises SettingError before anything is trained.
    """
    step = find(name)
    params.check_names(given, list(Params.__dataclass_fields__))
    checked = params.read({"seeds": step.seeds} | dict(given))
    recipe, mnist = checked.recipe(step.recipe), data.load(checked.split, checked.train_limit)
    place, path = checked.results_dir, checked.results_dir / "logs" / f"{step.name}.log"
    with logs.to_file(path):
        log.info(f"{step.name}: {step.title}, {recipe.model}")
        runs = seeds.train_seeds(recipe, mnist, checked.seeds, checked.device, checked.workers, checked.use_cached, place)
    made = step_report.make(step, recipe, mnist, runs, place)
    seeds.reported(place, [run.key for run in runs])
    return made, path
