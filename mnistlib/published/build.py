"""The published rows into reports/published/: what is missing is trained, two cores busy to the end; results, pages, studies, index."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mnistlib import data, files, formatting, models
from mnistlib.cli.training import NOTEBOOK
from mnistlib.errors import ResultError
from mnistlib.notebook import params, runner
from mnistlib.published import folds, registry, replication, studies
from mnistlib.published import site_index as site
from mnistlib.published.registry import ARMS, FOLDED, FOLDS, ROWS, Row
from mnistlib.report import model_summary, results, step_report, test_set_log
from mnistlib.report.result import Result
from mnistlib.runs import device, seeds, storage

PLACE = "reports/published"
Show = Callable[[str], Any]


@dataclass(frozen=True)
class Task:
    """One seed of a row, or of one of its folds."""

    row: Row
    mnist: data.Mnist
    seed: int

    @property
    def key(self) -> str:
        """Return the name of its trial."""
        return seeds.key(self.row.recipe, self.mnist, self.seed)

    @property
    def cost(self) -> float:
        """Return how long it takes against others: images times multiplications times epochs, and something for every image."""
        return self.row.recipe.epochs * (1e6 + macs(self.row))

    @property
    def stored(self) -> bool:
        """Say whether its finished trial is there."""
        return storage.load_trial(seeds.path(self.key), self.key) is not None


def build(train: bool = True, names: Sequence[str] = (), show: Show = lambda line: print(line, flush=True)) -> None:
    """Rebuild reports/published; what has been trained before is taken from build/trials or from the committed checkpoints.

    With `names`, only these rows and arms are trained and told; studies and index are made of all results that are there. Without
    `train`, a row whose trials are not all there is left as it was.
    """
    wanted = [registry.get(name) for name in names] or [*ROWS.values(), *ARMS.values()]
    mnist = data.load("mnist", show=show)
    if not mnist.by_writer:
        show("Who wrote each digit is not known here, so the cross-validation by writer is left out.")
    tasks = [task for row in wanted for task in _tasks(row, mnist)]
    for row in wanted:
        restore(row, mnist, show)
    if train:
        fit(tasks, show)
    own = {row.name: [task.stored for task in tasks if task.row.name == row.name] for row in wanted}
    there = [name for name in ROWS if all(own.get(name, [(files.root() / PLACE / f"{name}.html").is_file()]))]
    for row in wanted:
        if all(own[row.name]):
            tell(row, mnist, there, show)
        else:
            show(f"{row.name}  {formatting.of(sum(own[row.name]), len(own[row.name]))} runs are trained; `make published` trains the rest")
    index(mnist, show)


def macs(row: Row) -> int:
    """Return the multiply-accumulates of a row's net for one image."""
    return model_summary.of(models.build(row.recipe.model, row.recipe.dropout)).n_macs


def _tasks(row: Row, mnist: data.Mnist) -> list[Task]:
    """Return the runs that a row asks for; the row that is cross-validated has its folds beside its seeds."""
    own = [Task(row, mnist, seed) for seed in row.seeds]
    if row.name == FOLDED and mnist.by_writer:
        own += [Task(row, folds.folded(mnist, fold, FOLDS), 0) for fold in range(1, FOLDS + 1)]
    return own


def restore(row: Row, mnist: data.Mnist, show: Show) -> None:
    """Rebuild a row's trials from its committed checkpoints, those of its folds too; what is damaged is trained again."""
    place = files.root() / PLACE
    parts = [(row.name, mnist)]
    if row.name == FOLDED and mnist.by_writer:
        parts += [(fold_name(row, fold), folds.folded(mnist, fold, FOLDS)) for fold in range(1, FOLDS + 1)]
    for name, part in parts:
        try:
            if n := step_report.restore(name, part, place):
                show(f"{name}  {formatting.count(n)} trials rebuilt from their committed checkpoints")
        except ResultError as error:
            show(f"{name} is trained anew. {error}")


def fold_name(row: Row, fold: int) -> str:
    """Return the name under which a fold's result is kept."""
    return f"{row.name}-fold-{fold}"


def fit(tasks: Sequence[Task], show: Show) -> None:
    """Train what is missing, one thread a run, all cores busy; say after each what is left. An interrupted run goes on next time."""
    missing = [task for task in tasks if not task.stored]
    show(f"{formatting.of(len(tasks) - len(missing), len(tasks))} runs are stored already; left: {formatting.count(len(missing))}")
    clock, total, done = time.perf_counter(), sum(task.cost for task in missing), [0.0, 0]

    def run(task: Task) -> None:
        (trial,) = seeds.fit(task.row.recipe, task.mnist, [task.seed], device="cpu", workers=1, reuse=True, show=lambda line: None)
        done[0], done[1] = done[0] + task.cost, done[1] + 1
        left = (time.perf_counter() - clock) * (total - done[0]) / done[0]
        show(
            f"{task.row.name}  {task.mnist.split}  seed {task.seed}  {formatting.percent(trial.history.test_accuracy[-1])}"
            f"  {formatting.of(int(done[1]), len(missing))}  left {formatting.seconds(left)}"
        )

    pool = ThreadPoolExecutor(device.cores())
    try:
        list(pool.map(run, missing))
    except BaseException:  # Ctrl-C too: the workers would go on to the end of their runs
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    pool.shutdown()


def tell(row: Row, mnist: data.Mnist, neighbours: Sequence[str], show: Show) -> None:
    """Write a row's result, and its page where it is a published one, from stored trials; add its look at the test set to the list.

    `neighbours` are the rows that have a page, in their order.
    """
    root = files.root()
    if row.of:
        given = params.Settings(seeds=tuple(row.seeds), results_dir=root / PLACE, reuse=True)
        runs = seeds.fit(row.recipe, mnist, row.seeds, device="cpu", reuse=True, show=lambda line: None)
        made = step_report.make(row.step, row.recipe, mnist, runs, given, NOTEBOOK).result
    else:
        parameters = {"row": row.name, "dataset": "mnist", "results_dir": PLACE, "reuse": True}
        page, titles = root / PLACE / f"{row.name}.html", {other: registry.get(other).long_title for other in neighbours}
        out = root / "build" / "published" / row.name
        with contextlib.redirect_stdout(io.StringIO()):  # the stored runs' progress, epoch by epoch
            done = runner.run(runner.find(NOTEBOOK), out, parameters, page, titles, row.long_title, site.TITLE)
        if done.result is None:
            raise ResultError(f"The notebook of {row.name} saved no result.")
        made = done.result
    if row.name == FOLDED and mnist.by_writer:
        for fold in range(1, FOLDS + 1):
            _tell_fold(row, folds.folded(mnist, fold, FOLDS), fold)
    new = test_set_log.record(made, test_set_log.path())
    accuracy = formatting.mean_sd(made.summary.final_mean, made.summary.final_sd)
    show(f"{row.name}  {accuracy}" + ("  a new look at the test set, recorded" if new else ""))


def _tell_fold(row: Row, mnist: data.Mnist, fold: int) -> None:
    """Write the result of one fold."""
    given = params.Settings(seeds=(0,), results_dir=files.root() / PLACE, reuse=True)
    runs = seeds.fit(row.recipe, mnist, [0], device="cpu", reuse=True, show=lambda line: None)
    step = replace(row.step, name=fold_name(row, fold), before=None)
    step_report.make(step, row.recipe, mnist, runs, given, NOTEBOOK)


def _folds(mnist: data.Mnist, place: Path, show: Show) -> tuple[list[Result], list[data.Mnist]]:
    """Return the results of the folds with their data, in their order; one that cannot be used is left out, and said to be."""
    judged, parts = [], []
    for fold in range(1, FOLDS + 1):
        name = fold_name(ARMS[FOLDED], fold)
        try:
            result = results.read(place / "results" / f"{name}.json")
            results.stored(result, place)
            part = folds.folded(mnist, fold, FOLDS)
            if (result.recipe, result.split) != (ARMS[FOLDED].recipe, part.split):
                raise ResultError(f"The result of {name} is of another recipe; `make published` makes one.")
        except ResultError as error:
            show(f"{name} is left out. {error}")
            continue
        judged.append(result)
        parts.append(part)
    return judged, parts


def index(mnist: data.Mnist, show: Show) -> Path:
    """Write studies.json and index.html from all results that are there; one that cannot be used is left out, and said to be."""
    place, found, standings = files.root() / PLACE, {}, []
    for row in [*ROWS.values(), *ARMS.values()]:
        if not (place / "results" / f"{row.name}.json").is_file():
            continue
        try:
            result = results.read(place / "results" / f"{row.name}.json")
            results.stored(result, place)
            beside = replication.of(row, result)
        except ResultError as error:
            show(f"{row.name} is left out. {error}")
            continue
        found[row.name] = result
        standings += [beside] if row.claims else []
    judged, parts = _folds(mnist, place, show) if mnist.by_writer and FOLDED in found else ([], [])
    record = studies.make(studies.gather(found, place, mnist), judged, parts, place)
    files.write_json(place / "studies.json", record)
    standings, arms = replication.beside(standings), [found[name] for name in ARMS if name in found]
    path = site.build(place, standings, record, arms)
    site.build_readme(standings, files.root() / "README.md", files.root() / "images", PLACE)
    show(f"Index: {path}")
    return path
