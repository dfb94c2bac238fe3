"""Run the benchmark: every row in turns with its rivals, the goals judged, all written to reports/benchmarks.json."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import click

from benchmarks import goals, rows
from mnistlib import files
from mnistlib.report import index, speed
from mnistlib.runs import provenance

TABLES = {
    "seeds": rows.seeds,
    "augmentation": rows.augmentation,
    "arithmetic": rows.arithmetic,
    "notebook": rows.notebook,
    "growth": rows.growth,
    "accelerator": rows.accelerator,
    "sweep": rows.sweep,
}
TRIAL = rows.Size(rounds=1, whole=False, pairs=1, limit=2_000, epochs=2)


@click.command()
@click.argument("tables", nargs=-1, type=click.Choice(list(TABLES)))
@click.option("--trial", is_flag=True, help="A short run of the benchmark itself.")
@click.option("--judge", is_flag=True, help="Measure nothing: judge the rows in reports/benchmarks.json anew and rebuild their page.")
@click.option("--merge", is_flag=True, help="Put the tables named in place of their own in reports/benchmarks.json.")
def main(tables: tuple[str, ...], trial: bool, judge: bool, merge: bool) -> None:
    """Measure all tables, or only those named, and say what became of each goal.

    A full run goes to reports/benchmarks.json and its page; a trial, or a run of some tables without --merge, to build/.
    """
    began, size = time.time(), TRIAL if trial else rows.Size()
    path = files.root() / ("build" if trial or (tables and not merge) else "reports") / "benchmarks.json"
    made: list[rows.Row] = []
    if not judge:
        for name in tables or TABLES:
            made += TABLES[name](size, lambda line: print(line, flush=True))
    about = provenance.collect(began, time.time() - began, "cpu", 2, 1)
    if judge or merge:
        record = merged(json.loads(path.read_text()), made, about)
    else:
        record = {"schema": 1, "rows": [row.to_json() for row in made], "goals": goals.judge(made), "provenance": about}
    files.write_json(path, record)
    for goal in record["goals"]:
        print(f"{'reached' if goal['reached'] else 'missed ':7s}  {goal['name']}: {goal['value']:.2f} (goal {goal['goal']:g})")
    print(f"Page: {speed.build(path)}")
    if path.parent.name == "reports":
        index.build(path.parent)  # which names the page


def merged(record: dict[str, Any], made: Sequence[rows.Row], about: dict[str, Any]) -> dict[str, Any]:
    """Return a record with some tables measured anew, `about` where and when, and all its goals judged anew."""
    letters = {row.row for row in made}
    kept = [rows.from_json(row) for row in record["rows"] if row["row"] not in letters]
    every = sorted([*kept, *made], key=lambda row: row.row)
    later = {**record.get("later", {}), **dict.fromkeys(sorted(letters), about)}
    again = {"rows": [row.to_json() for row in every], "goals": goals.judge(every)} | ({"later": later} if later else {})
    return record | again


if __name__ == "__main__":
    main()
