"""Many seeds of a recipe: trained side by side, cached under their keys, only the missing ones trained."""

import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import Any

import torch

from mnistlib import files
from mnistlib.data import Mnist
from mnistlib.errors import MnistlibError, TrainingError
from mnistlib.logs import log
from mnistlib.recipe import Recipe
from mnistlib.runs import cache, device, provenance, stacked
from mnistlib.runs.progress import Progress, Reporter
from mnistlib.runs.run import Run, State, copied, train

FOLDER = "build"  # results_dir unless another is given


def cache_dir(results_dir: Path | None = None) -> Path:
    """Return the folder of finished and interrupted runs below a results folder."""
    return files.resolve(results_dir or FOLDER) / "runs"


def train_seeds(
    recipe: Recipe,
    mnist: Mnist,
    seeds: Sequence[int],
    device_name: str = "auto",
    workers: int | None = None,
    use_cached: bool = False,
    results_dir: Path | None = None,
    on_epoch: Callable[[list[Progress]], Any] = lambda so_far: None,
) -> list[Run]:
    """Return one run per seed, in the seeds' order.

    With `use_cached`, finished runs are taken from `results_dir`/runs and only missing ones are trained. Without it, all are trained,
    but an interrupted call resumes: finished seeds are kept, the others resume after their last epoch. On a CPU the seeds train in
    `workers` processes of one thread each (None: one per core) and take turns, epoch by epoch, so that no core is idle before the end;
    on a GPU they are stacked. A line of JSON per epoch is added to `results_dir`/epochs.jsonl.
    """
    folder = cache_dir(results_dir)
    keys = {seed: cache.cache_key(recipe, mnist, seed) for seed in seeds}
    for key in keys.values():
        _begin(folder, key, use_cached)
    runs = {seed: run for seed, key in keys.items() if (run := cache.load_run(cache.run_path(folder, key), key)) is not None}
    for run in runs.values():
        for epoch in range(1, len(run.history.seconds) + 1):
            log.info(str(Progress.of(run.seed, recipe.epochs, vars(run.history), epoch)))
    missing = {seed: key for seed, key in keys.items() if seed not in runs}
    if missing:
        report = Reporter(recipe.epochs, list(missing), folder.parent / "epochs.jsonl", on_epoch)
        where = device.choose(device_name)
        if where == "cpu":
            _side_by_side(recipe, mnist, missing, min(workers or device.n_cores(), len(missing)), report, folder)
        else:
            _in_stacks(recipe, mnist, missing, where, folder, report)
        for seed, key in missing.items():
            run = cache.load_run(cache.run_path(folder, key), key)
            if run is None:
                raise TrainingError(f"The run of seed {seed} was removed from {folder} while others trained; start again.")
            runs[seed] = run
    return [runs[seed] for seed in seeds]


def reported(results_dir: Path, keys: Iterable[str]) -> None:
    """Mark runs as reported: the next call of `train_seeds` without `use_cached` trains them anew."""
    for key in keys:
        _marker(cache_dir(results_dir), key).unlink(missing_ok=True)


def unreported(results_dir: Path, keys: Iterable[str]) -> None:
    """Take that back, where a report failed after all: the next call takes the runs that are there."""
    for key in keys:
        files.write(_marker(cache_dir(results_dir), key), "")


def _marker(folder: Path, key: str) -> Path:
    return folder / f"{key}.unfinished"


def _begin(folder: Path, key: str, use_cached: bool) -> None:
    """Mark a run as unfinished; one that was not marked yet begins anew, unless cached runs are wanted and there is one."""
    if _marker(folder, key).exists() or (use_cached and cache.run_path(folder, key).exists()):
        return
    cache.state_path(folder, key).unlink(missing_ok=True)
    cache.run_path(folder, key).unlink(missing_ok=True)
    files.write(_marker(folder, key), "")


class _Paused(Exception):
    """Another seed's turn has come; the state is saved."""


def _one(
    recipe: Recipe,
    mnist: Mnist,
    seed: int,
    key: str,
    where: str,
    workers: int,
    folder: Path,
    report: Callable[..., Any],
    began: float | None = None,
    others_wait: Callable[[], bool] = lambda: False,
) -> None:
    """Train one seed from where it stands, keeping its state after every epoch and its run at the end.

    `began` is when the seed had its first turn; after an epoch with `others_wait` it raises _Paused.
    """
    path, started = cache.state_path(folder, key), began or time.time()
    state = cache.load_state(path, key)
    if state is not None and began is None:
        report(seed, vars(state.history), resumed=True)

    def keep(now: State) -> None:
        cache.save_state(path, key, now)
        report(seed, vars(copied(now.history)))  # a queue pickles later, when the next epoch may have been added
        if len(now.history.seconds) < recipe.epochs and others_wait():
            raise _Paused

    run = train(recipe, mnist, seed, where, state, keep)
    about = provenance.collect(started, sum(run.history.seconds), where, workers, torch.get_num_threads())
    cache.save_run(cache.run_path(folder, key), replace(run, key=key, provenance=about))
    path.unlink(missing_ok=True)


def _in_stacks(recipe: Recipe, mnist: Mnist, keys: dict[int, str], where: str, folder: Path, report: Callable[..., Any]) -> None:
    """Train seeds on a GPU: as many together as stand after the same epoch, alone where they are single or cannot be stacked."""
    states = {seed: cache.load_state(cache.state_path(folder, key), key) for seed, key in keys.items()}
    after: dict[int, list[int]] = {}
    for seed, state in states.items():
        after.setdefault(len(state.history.seconds) if state else 0, []).append(seed)
    size = stacked.TOGETHER if where != "mps" and stacked.possible(recipe) else 1
    for seeds in [same[first : first + size] for same in after.values() for first in range(0, len(same), size)]:
        if len(seeds) == 1:
            _one(recipe, mnist, seeds[0], keys[seeds[0]], where, 1, folder, report)
            continue

        def keep(seed: int, now: State) -> None:
            cache.save_state(cache.state_path(folder, keys[seed]), keys[seed], now)
            report(seed, vars(now.history))

        started = time.time()
        for run in stacked.train(recipe, mnist, seeds, where, [states[seed] for seed in seeds if states[seed] is not None], keep):
            about = provenance.collect(started, time.time() - started, where, 1, torch.get_num_threads())
            key = keys[run.seed]
            cache.save_run(cache.run_path(folder, key), replace(run, key=key, provenance=about))
            cache.state_path(folder, key).unlink(missing_ok=True)


def _side_by_side(recipe: Recipe, mnist: Mnist, keys: dict[int, str], workers: int, report: Reporter, folder: Path) -> None:
    """Train seeds in worker processes of one thread each; the first failure stops all and is raised here."""
    report.workers = workers
    context = multiprocessing.get_context("spawn")
    common, tasks, messages = context.Queue(), context.Queue(), context.Queue()
    # Pickled here, for torch would share tensors through sockets in a temporary folder; queued, for a worker that ends before it reads.
    shared = pickle.dumps((recipe, mnist, workers, folder))
    for _ in range(workers):
        common.put(shared)
    for seed, key in keys.items():
        tasks.put((seed, key, None))
    unfinished = context.Value("i", len(keys))
    processes = [context.Process(target=_work, args=(common, tasks, unfinished, messages), daemon=True) for _ in range(workers)]
    try:
        for process in processes:
            process.start()
        while any(process.is_alive() for process in processes):
            _pass_on(messages, report, wait=0.2)
            if any(process.exitcode for process in processes):
                raise TrainingError(
                    "A worker process ended early: for lack of memory, or in a script that trains without"
                    " `if __name__ == '__main__':` around it. Start again to resume."
                )
        _pass_on(messages, report, wait=0.2)
    finally:
        for process in processes:
            if process.pid:
                process.terminate()
                process.join()
        common.cancel_join_thread()


def _pass_on(messages: Any, report: Reporter, wait: float) -> None:
    try:
        while True:
            message = messages.get(timeout=wait)
            if isinstance(message, Exception):
                raise message
            report(*message)
    except Empty:
        return


def _work(common: Any, tasks: Any, unfinished: Any, messages: Any) -> None:
    """Take from `common` what all workers need, then train seeds from `tasks` until all are finished, sending each epoch's history home.

    While more seeds are unfinished than there are workers, a seed goes back to the end of `tasks` after an epoch: else the last seeds
    would train on a few cores while the others are idle.
    """
    begin_worker()
    recipe, mnist, workers, folder = pickle.loads(common.get())
    try:
        while (task := tasks.get()) is not None:
            (seed, key, began), now = task, time.time()
            send = lambda *message, resumed=False: messages.put((*message, resumed))  # noqa: E731
            try:
                _one(recipe, mnist, seed, key, "cpu", workers, folder, send, began, lambda: unfinished.value > workers)
            except _Paused:
                tasks.put((seed, key, began or now))
                continue
            with unfinished.get_lock():
                unfinished.value -= 1
                if not unfinished.value:
                    for _ in range(workers):
                        tasks.put(None)
    except Exception as error:
        messages.put(error if isinstance(error, MnistlibError) else TrainingError(f"{type(error).__name__}: {error}"))


def begin_worker() -> None:
    """Make this process a worker: one thread, no denormal numbers, and it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a file being written is cleaned up
    threading.Thread(target=_follow_parent, daemon=True).start()
    device.tune()
    gc.freeze()  # what was imported is no garbage: looking through it would make the end of this process slow


def _follow_parent() -> None:
    """Wait until the parent is gone, then end this process: politely, and a second later in any case."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)
    os._exit(1)
