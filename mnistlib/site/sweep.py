"""A sweep as a page: every run with what it was given, its accuracy, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2

from mnistlib import files, form, recipe, results, work
from mnistlib.schema import Result
from mnistlib.site import dots, pages, rows
from mnistlib.work import Record, Swept, Unit

NAME = "index.html"


@dataclass(frozen=True)
class Line:
    """One run of the table, every cell a text."""

    name: str  # of its folder
    page: str  # its page's address, "" where there is none
    given: tuple[str, ...]  # in the order of the swept parameters
    mean: str
    interval: str
    passing: str
    seconds: str
    status: str
    reason: str


def build(swept: Swept) -> Path:
    """Write the summary of a sweep into its folder and return its path."""
    return files.write(swept.folder / NAME, page(swept))


def page(swept: Swept) -> str:
    """Return the text of a sweep's summary."""
    names = differing(swept.units)
    found = [(one, record, result(swept.folder / one.name)) for one, record in zip(swept.units, swept.records, strict=True)]
    drawn = [replace(told, step=label(one, names)) for one, _, told in found if told is not None]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(pages.FOLDER / "template"), autoescape=True)
    text = environment.get_template("sweep.html.j2").render(
        title=f"Sweep of {swept.units[0].notebook.stem}",
        style=pages.style() + dots.STYLE,
        names=[name.replace("_", " ") for name in names],
        lines=[line(one, record, told, names, swept.folder) for one, record, told in found],
        figure=dots.inline(drawn) if drawn else "",
        succeeded=form.of(swept.succeeded, len(swept.units)),
        n_failed=form.count(len(swept.failed)) if swept.failed else "",
        judged="validation" if any(told.split == "validation" for told in drawn) else "test",
        offline=any(told.dataset == "digits" for told in drawn),
        target=form.percent(recipe.MIN_ACCURACY),
        level=form.percent(rows.LEVEL, 0),
        facts=[f"From the folders beside this page and their {work.RECORD}", pages.LICENCE],
    )
    return text.rstrip() + "\n"


def differing(units: Sequence[Unit]) -> list[str]:
    """Return the parameters that are not the same in all units, in the order in which they are given."""
    names = dict.fromkeys(name for one in units for name in one.parameters)
    return [name for name in names if any(one.parameters.get(name) != units[0].parameters.get(name) for one in units)]


def label(one: Unit, names: Sequence[str]) -> str:
    """Return what tells a unit from the others: "epochs 5, seeds [0]"."""
    return ", ".join(f"{name} {text(one.parameters.get(name))}" for name in names) or one.notebook.stem


def text(value: Any) -> str:
    """Return a parameter's value as a reader would write it."""
    return ", ".join(map(form.number, value)) if isinstance(value, list | tuple) else form.number(value)


def result(folder: Path) -> Result | None:
    """Return the one result in a unit's folder, None where there is none."""
    found = [path for dataset in ("mnist", "digits") for path in sorted((results.base(folder, dataset) / "results").glob("*.json"))]
    return results.read(found[0]) if found else None


def line(one: Unit, record: Record | None, told: Result | None, names: Sequence[str], folder: Path) -> Line:
    """Return a unit's line."""
    row = rows.row(told) if told is not None else None
    address = f"{one.name}/{one.notebook.stem}.html"
    return Line(
        name=one.name,
        page=address if (folder / address).is_file() else "",
        given=tuple(text(one.parameters.get(name)) for name in names),
        mean=row.mean if row else "",
        interval=row.interval if row else "",
        passing=row.passing if row else "",
        seconds=form.seconds(record.seconds) if record else "",
        status=record.status if record else "not run",
        reason=record.reason if record else "",
    )
