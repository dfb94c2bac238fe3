"""Many seeds of a recipe: side by side, stored under their key, only the missing ones trained."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from queue import Empty
from typing import Any

from mnistlib import data, files, models, train, written
from mnistlib.errors import TrainingError
from mnistlib.published import early_stopping
from mnistlib.recipe import Recipe
from mnistlib.report import model_summary
from mnistlib.runs import device as machine
from mnistlib.runs import progress, stacked, storage
from mnistlib.runs.progress import Progress
from mnistlib.runs.storage import State, Trial

ENGINE = 2  # changes only when the arithmetic of a training run does
FOLDER, STORE = "build/trials", "MNISTLIB_TRIALS"  # where trials are, and what names another folder in the environment


def key(recipe: Recipe, mnist: data.Mnist, seed: int) -> str:
    """Return the name of a trial: a hash of recipe, layers, seed, split, limit, data and engine."""
    layers = model_summary.signature(models.build(recipe.model, recipe.dropout))
    about = [written.as_dict(recipe), layers, seed, mnist.dataset, mnist.split, mnist.limit, mnist.sha256, ENGINE]
    return files.sha256(files.canonical(about))[:24]


def kept() -> Path:
    """Return the folder of trials, finished and begun."""
    return files.resolve(os.environ.get(STORE) or FOLDER)


def path(key: str) -> Path:
    """Return where a finished trial is kept."""
    return kept() / f"{key}.trial"


def fit(
    recipe: Recipe,
    mnist: data.Mnist,
    seeds: Sequence[int],
    device: str = "auto",
    workers: int | None = None,
    reuse: bool = False,
    show: Callable[[str], Any] = lambda line: print(line, flush=True),
    on_epoch: Callable[[list[Progress]], Any] = lambda so_far: None,
) -> list[Trial]:
    """Return one trial per seed, in the seeds' order.

    With `reuse`, finished trials are taken from build/trials and only missing ones are trained. Without it, all are trained, but a call
    that was interrupted goes on where it stopped: finished seeds are kept, a seed in training resumes after its last epoch.
    On CPU the seeds train in `workers` processes of one thread each (None: one per core), on a GPU stacked.
    """
    folder = kept()
    keys = {seed: key(recipe, mnist, seed) for seed in seeds}
    unfinished = folder / f"unfinished-{files.sha256(files.canonical(list(keys.values())))[:24]}"
    if not unfinished.exists():
        for name in keys.values():
            (folder / f"{name}.state").unlink(missing_ok=True)
            if not reuse:
                (folder / f"{name}.trial").unlink(missing_ok=True)
        files.write(unfinished, "")
    done = {seed: storage.load_trial(folder / f"{name}.trial", name) for seed, name in keys.items()}
    found: dict[int, Trial] = {seed: trial for seed, trial in done.items() if trial is not None}
    for trial in found.values():
        for epoch in range(1, len(trial.history.seconds) + 1):
            show(str(Progress.of(trial.seed, recipe.epochs, vars(trial.history), epoch)))
    missing = [seed for seed in seeds if seed not in found]
    if missing:
        report, to_do = _Reporter(recipe, missing, show, on_epoch), {seed: keys[seed] for seed in missing}
        where = machine.device(device)
        if where == "cpu":
            _side_by_side(recipe, mnist, to_do, min(workers or machine.cores(), len(missing)), report, folder)
        else:
            _in_stacks(recipe, mnist, to_do, where, folder, report)
        found |= {seed: storage.load_trial(folder / f"{keys[seed]}.trial", keys[seed]) for seed in missing}
    unfinished.unlink(missing_ok=True)
    return [found[seed] for seed in seeds]


class _Reporter:
    """Turn the states that runs send after each epoch into lines and figures."""

    def __init__(self, recipe: Recipe, seeds: list[int], show: Callable[[str], Any], on_epoch: Callable[[list[Progress]], Any]) -> None:
        self.recipe, self.show, self.on_epoch, self.workers = recipe, show, on_epoch, 1
        self.so_far: list[Progress] = []
        self.left = dict.fromkeys(seeds, recipe.epochs)  # epochs yet to come

    def __call__(self, seed: int, history: dict[str, list[float]], resumed: bool = False) -> None:
        epoch = len(history["seconds"])
        self.left[seed] = 0 if early_stopping.ended(self.recipe, storage.History(**history)) else self.recipe.epochs - epoch
        if resumed:
            self.show(f"seed {seed}  goes on after epoch {epoch}/{self.recipe.epochs}")
            return
        recent = [line.seconds for line in self.so_far[-20:]] + [history["seconds"][-1]]
        left = sum(recent) / len(recent) * progress.longest(list(self.left.values()), self.workers)
        self.so_far.append(Progress.of(seed, self.recipe.epochs, history, epoch, left))
        progress.journal(self.so_far[-1])
        self.show(str(self.so_far[-1]))
        self.on_epoch(self.so_far)


def _one(
    recipe: Recipe, mnist: data.Mnist, seed: int, name: str, device: str, workers: int, folder: Path, report: Callable[..., Any]
) -> None:
    """Train one seed from where it stands, keeping its state after every epoch and its trial at the end."""
    path = folder / f"{name}.state"
    start = storage.load_state(path, name)
    if start is not None:
        report(seed, vars(start.history), resumed=True)

    def keep(now: State) -> None:
        storage.save_state(path, name, now)
        report(seed, vars(now.history))

    storage.save_trial(folder / f"{name}.trial", train.train(recipe, mnist, seed, name, device, workers, start, keep))
    path.unlink(missing_ok=True)


def _in_stacks(recipe: Recipe, mnist: data.Mnist, keys: dict[int, str], device: str, folder: Path, report: Callable[..., Any]) -> None:
    """Train seeds on a GPU: as many together as stand after the same epoch, alone where they are single or cannot be stacked."""
    starts = {seed: storage.load_state(folder / f"{name}.state", name) for seed, name in keys.items()}
    after: dict[int, list[int]] = {}
    for seed, start in starts.items():
        after.setdefault(len(start.history.seconds) if start else 0, []).append(seed)
    size = stacked.TOGETHER if device != "mps" and stacked.possible(recipe) else 1
    for seeds in [same[first : first + size] for same in after.values() for first in range(0, len(same), size)]:
        if len(seeds) == 1:
            _one(recipe, mnist, seeds[0], keys[seeds[0]], device, 1, folder, report)
            continue

        def keep(seed: int, now: State) -> None:
            storage.save_state(folder / f"{keys[seed]}.state", keys[seed], now)
            report(seed, vars(now.history))

        begun = [starts[seed] for seed in seeds if starts[seed] is not None]
        for trial in stacked.fit(recipe, mnist, {seed: keys[seed] for seed in seeds}, device, begun, keep):
            storage.save_trial(folder / f"{trial.key}.trial", trial)
            (folder / f"{trial.key}.state").unlink(missing_ok=True)


def _side_by_side(recipe: Recipe, mnist: data.Mnist, keys: dict[int, str], workers: int, report: _Reporter, folder: Path) -> None:
    """Train seeds in worker processes of one thread each; the first failure stops all and is raised here."""
    report.workers = workers
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    inbox = context.Queue()  # for what is large: handed over at the start, it would block for good where a worker ends before it reads
    pool = ProcessPoolExecutor(workers, context, _start_worker, (inbox, workers, folder, messages))
    try:
        for _ in range(workers):
            inbox.put((recipe, mnist))
        futures = [pool.submit(_work, seed, name) for seed, name in keys.items()]
        while not all(future.done() for future in futures) and not _failed(futures):
            _pass_on(messages, report, wait=0.2)
        _pass_on(messages, report, wait=0.2)
        for future in futures:
            if future.done():
                future.result()
    except BrokenProcessPool:
        raise TrainingError(
            "A worker process ended early: for lack of memory, or in a script that trains without `if __name__ == '__main__':` before it."
            " Start again to go on where it stopped."
        ) from None
    finally:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        inbox.cancel_join_thread()


def _failed(futures: list[Future]) -> bool:
    """Tell whether a finished future holds an exception."""
    return any(future.done() and future.exception() is not None for future in futures)


def _pass_on(messages: Any, report: _Reporter, wait: float) -> None:
    """Report all messages there are, waiting a little for the first."""
    try:
        while True:
            seed, history, resumed = messages.get(timeout=wait)
            report(seed, history, resumed)
    except Empty:
        return


def _start_worker(inbox: Any, *shared: Any) -> None:
    """Set a worker up: one thread, no denormal numbers, and an end as soon as its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a file being written is cleaned up
    machine.tune()
    threading.Thread(target=_follow_parent, daemon=True).start()
    _work.shared = (*inbox.get(), *shared)


def _follow_parent() -> None:
    """Wait until the parent is gone, then end this process: politely, and a second later in any case."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)
    os._exit(1)


def _work(seed: int, name: str) -> None:
    """Train one seed in a worker, sending each epoch's history home."""
    recipe, mnist, workers, folder, messages = _work.shared
    _one(recipe, mnist, seed, name, "cpu", workers, folder, lambda seed, history, resumed=False: messages.put((seed, history, resumed)))
