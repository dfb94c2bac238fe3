"""A sweep as a page: every job with its parameters, its accuracy, and how it ended."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloud.job import RECORD, Job, Record
from cloud.sweep.ray_sweep import Sweep
from mnistlib import files, formatting
from mnistlib.report import page as pages
from mnistlib.report import plots, result_tables
from mnistlib.report import result as results
from mnistlib.report.result import Result

NAME = "index.html"
COLUMNS = ("Accuracy", "Interval", "Seeds passing")  # of a result's row


def build(sweep: Sweep) -> Path:
    """Write the summary of a sweep into its folder and return its path."""
    jobs = sweep.jobs
    names, first = differing(jobs), given(jobs[0])
    found = [(job, record, result(job, record, sweep.folder)) for job, record in zip(jobs, sweep.records, strict=True)]
    drawn = [replace(made, step=label(job, jobs)) for job, _, made in found if made is not None]
    text = pages.render(
        "sweep.html.j2",
        Path(__file__).parent,
        title=f"Sweep of {formatting.listed(list(dict.fromkeys(job.notebook.stem for job in jobs)))}",
        names=[name.replace("_", " ").capitalize() for name in names],
        same=", ".join(f"{name} {value_text(value)}" for name, value in first.items() if name not in names),
        columns=COLUMNS,
        lines=[line(*one, names, sweep.folder) for one in found],
        figure=plots.accuracies(drawn, "job").in_page() if drawn else "",
        sweep=sweep,
        failed=[(label(job, jobs), record.reason) for job, record in sweep.failed],
        splits=formatting.listed(sorted({made.split for made in drawn} or {"test"})),
        facts=[f"From the folders beside this page and their {RECORD}", pages.BYLINE],
    )
    return files.write(sweep.folder / NAME, text)


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
    parts = [f"{name.replace('_', ' ')} {value_text(values.get(name))}" for name in differing(jobs)]
    return " · ".join(notebook + parts) or one.notebook.stem


def value_text(value: Any) -> str:
    """Return a parameter's value as a reader would write it."""
    return ", ".join(map(formatting.number, value)) if isinstance(value, list | tuple) else formatting.number(value)


def result(one: Job, record: Record | None, folder: Path) -> Result | None:
    """Return the one result in the folder of a job that has succeeded, None where there is none."""
    paths = sorted((folder / one.name / "results").glob("*.json")) if record and record.status == "succeeded" else []
    return results.read(paths[0]) if paths else None


def line(one: Job, record: Record | None, made: Result | None, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return a job's row: its notebook, its key, its page where there is one, and its cells."""
    row = result_tables.row(made) if made is not None else {}
    address = f"{one.name}/{one.notebook.stem}.html"
    cells = [*(value_text(given(one).get(name)) for name in names), *(row[name].text if row else "" for name in COLUMNS)]
    return {
        "notebook": one.notebook.stem,
        "key": one.name.removeprefix(f"{one.notebook.stem}-"),
        "page": address if (folder / address).is_file() else "",
        "cells": [*cells, formatting.seconds(record.seconds) if record else ""],
        "status": record.status if record else "not run",
    }
