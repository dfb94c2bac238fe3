"""A step of one's own: a notebook copied from a step, with one `replace` to change."""

from __future__ import annotations

import re
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import nbformat

from mnistlib import files, steps
from mnistlib.errors import SettingError
from mnistlib.recipe import Recipe
from mnistlib.run import runner

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
    cell.source = "\n".join([*_imports(step), call.sub(_step(name, step), cell.source, count=1)])
    for cell in story.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace(source, name)
    return files.write(path, nbformat.writes(story) + "\n")


def _step(name: str, step: steps.Step) -> str:
    """Return the expression of a new step after another one, with the change that made the other."""
    title = name[3:].replace("_", " ").capitalize()
    changes = ", ".join(f"{field}={_source(value)}" for field, value in _changed(step).items())
    return f'steps.Step("{name}", "{title}", replace(steps.get("{step.name}").recipe, {changes}), before="{step.name}")'


def _changed(step: steps.Step) -> dict[str, Any]:
    """Return the fields in which a step's recipe differs from the one before it; for the first step, its net."""
    if step.before is None:
        return {"model": step.recipe.model}
    before = steps.get(step.before).recipe
    return {
        field.name: getattr(step.recipe, field.name)
        for field in fields(Recipe)
        if getattr(step.recipe, field.name) != getattr(before, field.name)
    }


def _imports(step: steps.Step) -> list[str]:
    """Return the imports that the new step's expression needs."""
    kinds = sorted({type(value).__name__ for value in _changed(step).values() if is_dataclass(value)})
    return ["from dataclasses import replace", *([f"from mnistlib.recipe import {', '.join(kinds)}"] if kinds else [])]


def _source(value: Any) -> str:
    """Return a value as it is written in Python; of a recipe's part, only what differs from its defaults."""
    if not is_dataclass(value):
        return f'"{value}"' if isinstance(value, str) else repr(value)
    default = asdict(type(value)())
    given = ", ".join(f"{name}={_source(item)}" for name, item in asdict(value).items() if item != default[name])
    return f"{type(value).__name__}({given})"
