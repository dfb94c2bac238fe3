"""A step of one's own: a notebook copied from a step, with one `replace` to change."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import nbformat

from mnistlib import files, steps
from mnistlib.errors import SettingError
from mnistlib.notebook import runner
from mnistlib.recipe import Recipe

NAME = re.compile(r"[0-9]{2}_[a-z][a-z0-9_]*")


def copy(name: str, source: str, folder: Path | None = None) -> Path:
    """Copy the notebook of step `source` into a new step called `name`, and return its path.

    The copy's recipe is the source's, with its own one change spelt out, ready to become another. Nothing else is touched.
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
    cell.source = call.sub(_step(name, step), cell.source, count=1)
    if "import replace" not in cell.source:
        first, line = "import importlib.util\n", "from dataclasses import replace\n"
        begin = first + line if cell.source.startswith(first) else f"{line}\n"
        cell.source = begin + cell.source.removeprefix(first)
    for cell in story.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("# "):
            cell.source = "\n".join([f"# {name[:2]} · {_title(name)}", *cell.source.splitlines()[1:]])
    return files.write(path, nbformat.writes(story) + "\n")


def _title(name: str) -> str:
    """Return a step's title: its name without the number."""
    return name[3:].replace("_", " ").capitalize()


def _step(name: str, step: steps.Step) -> str:
    """Return the expression of a new step after another one, which spells the other's change out so that it can become a new one."""
    start = next(f"steps.{constant}" for constant, value in vars(steps).items() if value is step.recipe)
    field, value = _change(step)
    if is_dataclass(value):
        settings = {inner.name: (getattr(value, inner.name), inner.default) for inner in fields(value) if inner.init}
        inner = next((name for name, (setting, default) in settings.items() if setting != default), next(iter(settings)))
        change = f"{field}=replace({start}.{field}, {inner}={_quoted(settings[inner][0])})"
    else:
        change = f"{field}={start}.{field}" if isinstance(value, tuple) else f"{field}={_quoted(value)}"
    return f'steps.Step("{name}", "{_title(name)}", replace({start}, {change}), before="{step.name}")'


def _change(step: steps.Step) -> tuple[str, Any]:
    """Return the field in which a step's recipe differs from the one before it, and its value; for the first step, its net."""
    if step.before is None:
        return "model", step.recipe.model
    before = steps.get(step.before).recipe
    return next((f.name, getattr(step.recipe, f.name)) for f in fields(Recipe) if getattr(step.recipe, f.name) != getattr(before, f.name))


def _quoted(value: Any) -> str:
    """Return a value as it is written in Python."""
    return f'"{value}"' if isinstance(value, str) else repr(value)
