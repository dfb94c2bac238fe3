"""A sweep as a page: every job with its parameters, its accuracy, and how it ended."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnistlib import files, formatting
from mnistlib.report import markup, plots, result_tables
from mnistlib.report import page as pages
from mnistlib.report import result as results
from mnistlib.report.result import Result
from mnistlib.sweep import job
from mnistlib.sweep.job import Job, Record
from mnistlib.sweep.ray_sweep import Sweep

NAME = "index.html"
COLUMNS = ("Accuracy", "Interval", "Seeds passing")  # of a result's row


def build(sweep: Sweep) -> Path:
    """Write the summary of a sweep into its folder and return its path."""
    return files.write(sweep.folder / NAME, page(sweep))


def page(sweep: Sweep) -> str:
    """Return the text of a sweep's summary."""
    names, first = differing(sweep.jobs), sweep.jobs[0]
    found = [
        (one, record, result(sweep.folder / one.name) if record and record.status == "succeeded" else None)
        for one, record in zip(sweep.jobs, sweep.records, strict=True)
    ]
    drawn = [replace(made, step=label(one, sweep.jobs)) for one, _, made in found if made is not None]
    return pages.render(
        "sweep.html.j2",
        title=f"Sweep of {formatting.listed(list(dict.fromkeys(one.notebook.stem for one in sweep.jobs)))}",
        names=[name.replace("_", " ").capitalize() for name in names],
        same=", ".join(f"{name} {text(value)}" for name, value in given(first).items() if name not in names),
        columns=COLUMNS,
        lines=[line(one, record, made, names, sweep.folder) for one, record, made in found],
        figure=markup.image(plots.accuracies(drawn, "job")) if drawn else "",
        sweep=sweep,
        failed=[(label(one, sweep.jobs), record.reason) for one, record in sweep.failed],
        splits=formatting.listed(sorted({made.split for made in drawn} or {"test"})),
        facts=[f"From the folders beside this page and their {job.RECORD}", pages.LICENCE],
    )


def given(one: Job) -> dict[str, Any]:
    """Return a job's parameters, with every overridden field of the recipe under its own name."""
    plain = {name: value for name, value in one.parameters.items() if name != "overrides"}
    return plain | dict(one.parameters.get("overrides") or {})


def differing(jobs: Sequence[Job]) -> list[str]:
    """Return the parameters that are not the same in all jobs, in the order in which they are given."""
    parameters = list(map(given, jobs))
    names = dict.fromkeys(name for one in parameters for name in one)
    return [name for name in names if any(one.get(name) != parameters[0].get(name) for one in parameters)]


def label(one: Job, jobs: Sequence[Job]) -> str:
    """Return how a job differs from the others: "03_augment · epochs 5 · seeds 0, 1", the notebook only where there are several."""
    notebook = [one.notebook.stem] if len({other.notebook for other in jobs}) > 1 else []
    values = given(one)
    parts = [f"{name.replace('_', ' ')} {text(values.get(name))}" for name in differing(jobs)]
    return " · ".join(notebook + parts) or one.notebook.stem


def text(value: Any) -> str:
    """Return a parameter's value as a reader would write it."""
    return ", ".join(map(formatting.number, value)) if isinstance(value, list | tuple) else formatting.number(value)


def result(folder: Path) -> Result | None:
    """Return the one result in a job's folder, None where there is none."""
    paths = sorted((folder / "results").glob("*.json"))
    return results.read(paths[0]) if paths else None


def line(one: Job, record: Record | None, made: Result | None, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return a job's row: its notebook, its key, its page where there is one, and its cells."""
    row = result_tables.row(made) if made is not None else {}
    address = f"{one.name}/{one.notebook.stem}.html"
    cells = [*(text(given(one).get(name)) for name in names), *(row[name].text if row else "" for name in COLUMNS)]
    return {
        "notebook": one.notebook.stem,
        "key": one.name.removeprefix(f"{one.notebook.stem}-"),
        "page": address if (folder / address).is_file() else "",
        "cells": [*cells, formatting.seconds(record.seconds) if record else ""],
        "status": record.status if record else "not run",
    }
