"""A sweep as a page: every run with what it was given, its accuracy, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2

from mnistlib import files, formatting, recipe
from mnistlib.report import dots, overview, results
from mnistlib.report import page as pages
from mnistlib.report.result import Result
from mnistlib.sweep import job
from mnistlib.sweep.job import Job, Record
from mnistlib.sweep.ray_sweep import Sweep

NAME = "index.html"


@dataclass(frozen=True)
class Line:
    """One run of the table, every cell a text."""

    notebook: str
    key: str  # as in its folder's name
    page: str  # its page's address, "" where there is none
    given: tuple[str, ...]  # in the order of the swept parameters
    mean: str
    interval: str
    passing: str
    seconds: str
    status: str


def build(swept: Sweep) -> Path:
    """Write the summary of a sweep into its folder and return its path."""
    return files.write(swept.folder / NAME, page(swept))


def page(swept: Sweep) -> str:
    """Return the text of a sweep's summary."""
    names, first = differing(swept.jobs), swept.jobs[0]
    found = [
        (one, record, result(swept.folder / one.name) if record and record.status == "succeeded" else None)
        for one, record in zip(swept.jobs, swept.records, strict=True)
    ]
    drawn = [replace(told, step=label(one, swept.jobs)) for one, _, told in found if told is not None]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(pages.FOLDER / "template"), autoescape=True)
    written = environment.get_template("sweep.html.j2").render(
        home=pages.HOME,
        title=f"Sweep of {formatting.listed(list(dict.fromkeys(one.notebook.stem for one in swept.jobs)))}",
        style=pages.style() + dots.STYLE,
        names=[name.replace("_", " ").capitalize() for name in names],
        same=", ".join(f"{name} {text(value)}" for name, value in given(first).items() if name not in names),
        lines=[line(one, record, told, names, swept.folder) for one, record, told in found],
        figure=dots.inline(drawn, "run") if drawn else "",
        succeeded=formatting.of(swept.succeeded, len(swept.jobs)),
        failed=[(label(one, swept.jobs), record.reason) for one, record in swept.failed],
        n_failed=formatting.count(len(swept.failed)),
        judged=formatting.listed(sorted({told.split for told in drawn} or {"test"})),
        offline=any(told.dataset == "digits" for told in drawn),
        target=formatting.percent(recipe.MIN_ACCURACY),
        level=formatting.percent(overview.LEVEL, 0),
        facts=[f"From the folders beside this page and their {job.RECORD}", pages.LICENCE],
    )
    return written.rstrip() + "\n"


def given(one: Job) -> dict[str, Any]:
    """Return what a unit is given, with every field of the recipe that it tries under its own name."""
    plain = {name: value for name, value in one.parameters.items() if name != "fields"}
    return plain | dict(one.parameters.get("fields") or {})


def differing(units: Sequence[Job]) -> list[str]:
    """Return the parameters that are not the same in all units, in the order in which they are given."""
    all_given = list(map(given, units))
    names = dict.fromkeys(name for one in all_given for name in one)
    return [name for name in names if any(one.get(name) != all_given[0].get(name) for one in all_given)]


def label(one: Job, units: Sequence[Job]) -> str:
    """Return what tells a unit from the others: "03_augment · epochs 5 · seeds 0, 1", the notebook only where there are several."""
    notebook = [one.notebook.stem] if len({other.notebook for other in units}) > 1 else []
    values = given(one)
    told = [f"{name.replace('_', ' ')} {text(values.get(name))}" for name in differing(units)]
    return " · ".join(notebook + told) or one.notebook.stem


def text(value: Any) -> str:
    """Return a parameter's value as a reader would write it."""
    return ", ".join(map(formatting.number, value)) if isinstance(value, list | tuple) else formatting.number(value)


def result(folder: Path) -> Result | None:
    """Return the one result in a unit's folder, None where there is none."""
    found = [path for dataset in ("mnist", "digits") for path in sorted((results.base(folder, dataset) / "results").glob("*.json"))]
    return results.read(found[0]) if found else None


def line(one: Job, record: Record | None, told: Result | None, names: Sequence[str], folder: Path) -> Line:
    """Return a unit's line."""
    row = overview.row(told) if told is not None else None
    address = f"{one.name}/{one.notebook.stem}.html"
    return Line(
        notebook=one.notebook.stem,
        key=one.name.removeprefix(f"{one.notebook.stem}-"),
        page=address if (folder / address).is_file() else "",
        given=tuple(text(given(one).get(name)) for name in names),
        mean=row.mean if row else "",
        interval=row.interval if row else "",
        passing=row.passing if row else "",
        seconds=formatting.seconds(record.seconds) if record else "",
        status=record.status if record else "not run",
    )
