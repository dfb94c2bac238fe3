"""Run the benchmark: every row in turns with its rivals, the goals judged, all written to reports/benchmarks.json."""

from __future__ import annotations

import json
import time

import click

from benchmarks import goals, rows
from mnistlib import files, provenance
from mnistlib.site import index, speed

TABLES = {
    "seeds": rows.seeds,
    "augmentation": rows.augmentation,
    "arithmetic": rows.arithmetic,
    "notebook": rows.notebook,
    "growth": rows.growth,
    "accelerator": rows.accelerator,
}
TRIAL = rows.Size(rounds=1, whole=False, pairs=1, limit=2_000, epochs=2)


@click.command()
@click.argument("tables", nargs=-1, type=click.Choice(list(TABLES)))
@click.option("--trial", is_flag=True, help="A short run of the benchmark itself.")
@click.option("--judge", is_flag=True, help="Measure nothing: judge the rows in reports/benchmarks.json anew and rebuild their page.")
def main(tables: tuple[str, ...], trial: bool, judge: bool) -> None:
    """Measure all tables, or only those named, and say what became of each goal.

    A full run goes to reports/benchmarks.json and its page; a trial, or a run of some tables, to build/.
    """
    began, size = time.time(), TRIAL if trial else rows.Size()
    made: list[rows.Row] = []
    path = files.root() / ("build" if trial or tables else "reports") / "benchmarks.json"
    if judge:
        record = json.loads(path.read_text())
        made, about = [rows.from_json(row) for row in record["rows"]], record["provenance"]
    else:
        for name in tables or TABLES:
            made += TABLES[name](size, lambda line: print(line, flush=True))
        about = provenance.collect(began, time.time() - began, "cpu", 2, 1)
    record = {"schema": 1, "rows": [row.to_json() for row in made], "goals": goals.judge(made), "provenance": about}
    files.write_json(path, record)
    for goal in goals.judge(made):
        print(f"{'reached' if goal['reached'] else 'missed ':7s}  {goal['name']}: {goal['value']:.2f} (goal {goal['goal']:g})")
    print(f"Page: {speed.build(path)}")
    if path.parent.name == "reports":
        index.build(path.parent)  # which names the page


if __name__ == "__main__":
    main()
