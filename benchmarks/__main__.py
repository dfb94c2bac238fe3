"""Run the benchmark: this series and the baselines in turns; rows and goals go to reports/benchmarks.json, and the page beside it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from benchmarks import goals, measure, page, record
from mnistlib import files, logs
from mnistlib.cli.main import main
from mnistlib.runs import provenance
from website import index

TABLES = {
    "seeds": measure.seeds,
    "augmentation": measure.augmentation,
    "step": measure.step,
    "notebook": measure.notebook,
    "scaling": measure.scaling,
    "gpu": measure.gpu,
    "sweep": measure.sweep,
}
QUICK = measure.Size(rounds=1, whole=False, pairs=1, train_limit=2_000, epochs=2)


@click.command()
@click.argument("tables", nargs=-1, type=click.Choice(list(TABLES)))
@click.option("--quick", is_flag=True, help="Measure very little, to test the benchmark itself; write to build/.")
@click.option("--goals-only", is_flag=True, help="Measure nothing: check the goals again and rebuild the page.")
def benchmark(tables: tuple[str, ...], quick: bool, goals_only: bool) -> None:
    """Measure all tables, or those named, and print whether each goal was reached.

    Each table is written to reports/benchmarks.json as soon as it is measured; tables that are not measured stay as they are.
    """
    logs.to_stdout()
    began, size = time.time(), QUICK if quick else measure.Size()
    path = files.root() / ("build" if quick else "reports") / "benchmarks.json"
    before = record.read(path) if path.exists() else record.EMPTY
    rows: list[record.Row] = []
    value = enter(path, before, rows, {})
    for name in () if goals_only else tables or TABLES:
        rows += TABLES[name](size)
        value = enter(path, before, rows, provenance.collect(began, time.time() - began, "cpu", 2, 1))
    for goal in value["goals"]:
        print(f"{'reached' if goal['reached'] else 'missed':7s}  {goal['name']}: {goal['value']:.2f} (goal {goal['goal']:g})")
    print(f"Page: {page.build(path)}")
    if path.parent.name == "reports":
        index.build(path.parent)  # it links to the page


def enter(path: Path, before: dict[str, Any], rows: list[record.Row], about: dict[str, Any]) -> dict[str, Any]:
    """Write a record with newly measured rows, its goals checked; return it."""
    value = record.update(before, rows, about)
    value["goals"] = goals.check(record.rows(value))
    files.write_signed(path, value)
    return value


if __name__ == "__main__":
    sys.exit(main(benchmark, "python -m benchmarks"))
