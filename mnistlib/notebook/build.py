"""All steps in order into reports/: results, checkpoints, pages, index, and README's table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mnistlib import data, files, formatting, steps
from mnistlib.errors import ResultError
from mnistlib.notebook import runner
from mnistlib.published import build as published
from mnistlib.report import index, step_report, test_set_log
from mnistlib.runs import seeds as trials
from mnistlib.runs import storage

PARAMETERS = {"dataset": "mnist", "results_dir": "reports", "reuse": True}


def build(train: bool = True, show: Callable[[str], Any] = lambda line: print(line, flush=True)) -> None:
    """Rebuild the committed reports; what has been trained before is taken from build/trials or from the committed checkpoints.

    Without `train`, a step whose trials are not all there raises ResultError before any page is touched.
    """
    root, mnist = files.root(), data.load("mnist", show=show)
    for name in steps.STEPS:
        n = step_report.restore(name, mnist)
        if n:
            show(f"{name}  {formatting.count(n)} trials rebuilt from their committed checkpoints")
        if train:
            show(f"══ {name}")
            trials.fit(steps.get(name).recipe, mnist, seeds(name), reuse=True, show=show)
        check_trained(name, mnist)
    titles = {step.name: step.title for step in steps.STEPS.values()}
    for name in steps.STEPS:
        page = root / "reports" / f"{name}.html"
        done = runner.run(runner.find(name), root / "build" / "series", PARAMETERS, page, titles, show)
        if done.result is not None and test_set_log.record(done.result, test_set_log.path()):
            show("A new look at the test set, recorded.")
    if (root / "reports" / "benchmarks.json").is_file():
        runner.run(
            runner.find("benchmarks"),
            root / "build" / "series",
            page=root / "reports" / "benchmarks.html",
            series={"benchmarks": "Speed"},
            show=show,
        )
    show(f"Index: {index.build(root / 'reports')}")
    index.build_readme(root / "reports", root / "README.md", root / "images")
    if not train:
        published.build(train=False, show=show)


def seeds(name: str) -> list[int]:
    """Return the seeds that a step's notebook shows unless told otherwise."""
    return runner.parameters_of(runner.find(name))["seeds"]


def check_trained(name: str, mnist: data.Mnist) -> None:
    """Raise ResultError unless a finished trial is stored for every seed that a step's notebook shows."""
    keys = {seed: trials.key(steps.get(name).recipe, mnist, seed) for seed in seeds(name)}
    missing = [seed for seed, key in keys.items() if storage.load_trial(trials.path(key), key) is None]
    if missing:
        text = ", ".join(str(seed) for seed in missing)
        raise ResultError(f"No trial of {name}'s present recipe is stored for seeds {text}; `make series` trains what is missing.")
