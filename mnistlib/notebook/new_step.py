"""A new step: a notebook copied from a step, with one `replace` to change."""

import re
from dataclasses import is_dataclass
from pathlib import Path

import nbformat

from mnistlib import files, steps
from mnistlib.errors import SettingError
from mnistlib.notebook import runner
from mnistlib.report import recipe_diff

NAME = re.compile(r"[0-9]{2}_[a-z][a-z0-9_]*")


def copy(name: str, source: str, folder: Path | None = None) -> Path:
    """Copy the notebook of step `source` into a new step called `name`, and return its path.

    The copy's recipe is the source's, with its own one change spelt out, ready to be replaced by another. Nothing else changes.
    """
    step = steps.get(source)
    folder = folder or files.root() / "notebooks"
    if not NAME.fullmatch(name):
        raise SettingError(f"NAME is {name!r}; it must be two digits, an underscore and a word in small letters, such as '04_mine'.")
    path = folder / f"{name}.ipynb"
    if path.exists() or name in steps.STEPS:
        raise SettingError(f"There is a step {name!r} already; choose another name.")
    story = nbformat.read(runner.find(source), as_version=4)
    call = re.compile(rf"steps\.get\((['\"]){re.escape(source)}\1\)")
    cell = next((cell for cell in story.cells if cell.cell_type == "code" and call.search(cell.source)), None)
    if cell is None:
        raise SettingError(f"{source}.ipynb has no line `step = steps.get({source!r})` to start from.")
    title = name[3:].replace("_", " ").capitalize()
    new = f'steps.Step("{name}", "{title}", {_recipe(step)}, before="{source}")'
    cell.source = call.sub(new, cell.source, count=1)
    if "import replace" not in cell.source:
        first, line = "import importlib.util\n", "from dataclasses import replace\n"
        begin = first + line if cell.source.startswith(first) else f"{line}\n"
        cell.source = begin + cell.source.removeprefix(first)
    for cell in story.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"^# .*", f"# {name[:2]} · {title}", cell.source)
    return files.write(path, nbformat.writes(story) + "\n")


def _recipe(step: steps.Step) -> str:
    """Return the expression of a step's recipe, which spells out its own change so that another can take its place."""
    start = next(f"steps.{constant}" for constant, value in vars(steps).items() if value is step.recipe)
    field, value = "model", step.recipe.model  # of the first step, which changes nothing
    if step.before is not None:
        field, _, value = next(recipe_diff.changes(step.recipe, steps.get(step.before).recipe))
    part, _, inner = field.partition(".")
    if inner:
        change = f"{part}=replace({start}.{part}, {inner}={value!r})"
    else:
        change = f"{part}={start}.{part}" if is_dataclass(value) or isinstance(value, tuple) else f"{part}={value!r}"
    return f"replace({start}, {change})"
