"""Run the benchmark: this series and the baselines in turns; rows and goals go to reports/benchmarks.json, and the page beside it."""

from __future__ import annotations

import time

import click

from benchmarks import goals, measure, page, record
from mnistlib import files, logs
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
@click.option("--quick", is_flag=True, help="Measure very little, to test the benchmark itself.")
@click.option("--goals-only", is_flag=True, help="Measure nothing: check the goals again and rebuild the page.")
@click.option("--merge", is_flag=True, help="Replace the named tables in reports/benchmarks.json and keep the others.")
def main(tables: tuple[str, ...], quick: bool, goals_only: bool, merge: bool) -> None:
    """Measure all tables, or only those named, and print whether each goal was reached.

    A full run writes reports/benchmarks.json and its page. A quick run, or one of some tables without --merge, writes to build/.
    """
    logs.to_stdout()
    began, size = time.time(), QUICK if quick else measure.Size()
    path = files.root() / ("build" if quick or (tables and not merge) else "reports") / "benchmarks.json"
    measured: list[record.Row] = []
    for name in () if goals_only else tables or TABLES:
        measured += TABLES[name](size)
    about = provenance.collect(began, time.time() - began, "cpu", 2, 1)
    if goals_only or merge:
        value = files.read_signed(path)
        value["goals"] = goals.check(record.merge(value, measured, about))
    else:
        value = record.make(measured, goals.check(measured), about)
    files.write_signed(path, value)
    for goal in value["goals"]:
        print(f"{'reached' if goal['reached'] else 'missed':7s}  {goal['name']}: {goal['value']:.2f} (goal {goal['goal']:g})")
    print(f"Page: {page.build(path)}")
    if path.parent.name == "reports":
        index.build(path.parent)  # it links to the page


if __name__ == "__main__":
    main()
