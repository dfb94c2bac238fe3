"""What is measured: each table takes this series and the baselines in turns, so that all meet the machine in the same conditions."""

from __future__ import annotations

import statistics
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import augmentation as warps
from benchmarks import processes, training_step
from benchmarks.baselines import BASELINES
from benchmarks.record import THIS_SERIES, Row
from mnistlib import data, files, formatting, recipe, steps
from mnistlib.logs import log
from mnistlib.report import result

FULL, SHORT = "04_frontier", "05_fast"  # our most accurate step, and the one with the shortest schedule that reaches the target


@dataclass(frozen=True)
class Size:
    """How much is measured; the default is a full run."""

    rounds: int = 3  # turns that every method takes
    timed_epochs: int = 1  # epochs of a baseline's round, from which its whole schedule is computed
    whole: bool = True  # whether each baseline runs its whole schedule in the first round
    pairs: int = 2  # rounds that also train two seeds side by side
    train_limit: int | None = None  # our training images; None: all
    epochs: int | None = None  # our epochs; None: the recipe's


def torchvision_folder() -> Path:
    """Return a folder that torchvision's MNIST can read, written from the images of the package."""
    folder = files.root() / "build" / "torchvision"
    mnist = data.load()
    for name, part in (("train", mnist.train), ("t10k", mnist.eval)):
        write_idx(folder / "MNIST" / "raw" / f"{name}-images-idx3-ubyte", part.images.numpy())
        write_idx(folder / "MNIST" / "raw" / f"{name}-labels-idx1-ubyte", part.labels.numpy())
    return folder


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write whole numbers from 0 to 255 as an IDX file of bytes, the format of MNIST's own files."""
    header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    files.write(path, header + values.astype(np.uint8).tobytes())


def median_parts(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the median seconds of each part over some runs."""
    return {name: statistics.median(run["parts"].get(name, 0.0) for run in runs) for name in runs[0]["parts"]}


def whole_schedule(run: dict[str, Any], epochs: int) -> float:
    """Return the seconds of a whole schedule, from a run of some of its epochs."""
    return run["seconds"] + (epochs - len(run["epochs"])) * statistics.mean(run["epochs"])


def whole_parts(run: dict[str, Any], epochs: int) -> dict[str, float]:
    """Return the parts of a whole schedule, from a run of some of its epochs."""
    factor = epochs / len(run["epochs"])
    return {name: seconds * (factor if name in ("train", "evaluate") else 1) for name, seconds in run["parts"].items()}


def seeds(size: Size) -> Iterator[Row]:
    """Tables seed, target and throughput: one seed, the shortest schedule that reaches the target, seeds per hour with two workers."""
    folder = str(torchvision_folder())
    shorter = ["--train-limit", str(size.train_limit)] if size.train_limit else []
    shorter += ["--epochs", str(size.epochs)] if size.epochs else []
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def run(table: str, method: str, *modules: list[str]) -> None:
        done = processes.run(*modules)
        runs.setdefault((table, method), []).append(done[0] | {"seconds": max(one["seconds"] for one in done)})
        log.info(f"{table}  {method}  {formatting.seconds(runs[table, method][-1]['seconds'])}")

    for turn in range(size.rounds):
        run("seed", THIS_SERIES, ["benchmarks.series", FULL, *shorter])
        for name, baseline in BASELINES.items():
            epochs = str(baseline.epochs if size.whole and turn == 0 else size.timed_epochs)
            run("seed", name, ["benchmarks.baselines", name, "--folder", folder, "--epochs", epochs])
        run("target", THIS_SERIES, ["benchmarks.series", SHORT, *shorter])
        if turn < size.pairs:
            run("throughput", THIS_SERIES, ["benchmarks.series", FULL, "--seeds", "2", "--workers", "2", *shorter])
            for name in BASELINES:
                one = ["benchmarks.baselines", name, "--folder", folder, "--threads", "1", "--seed"]
                run("throughput", name, [*one, "1"], [*one, "2"])
    yield from seed_rows(runs, size)
    yield from target_rows(runs, size)
    yield from throughput_rows(runs)


def seed_rows(runs: dict[tuple[str, str], list[dict[str, Any]]], size: Size) -> Iterator[Row]:
    """Yield the rows of table seed."""
    case, ours = "one seed, all epochs", runs["seed", THIS_SERIES]
    about = {"step": FULL, "epochs": steps.get(FULL).recipe.epochs, "n_parameters": ours[0]["n_parameters"]}
    yield Row("seed", case, THIS_SERIES, "s", tuple(run["seconds"] for run in ours), median_parts(ours), about)
    for name, baseline in BASELINES.items():
        made = runs["seed", name]
        about = {"epochs": baseline.epochs, "n_parameters": made[0]["n_parameters"], "epochs_timed": size.timed_epochs}
        if size.whole:
            about |= {"whole_seconds": made[0]["seconds"], "accuracy": made[0]["accuracy"]}
        parts = median_parts([{"parts": whole_parts(run, baseline.epochs)} for run in made])
        yield Row("seed", case, baseline.title, "s", tuple(whole_schedule(run, baseline.epochs) for run in made), parts, about)


def target_rows(runs: dict[tuple[str, str], list[dict[str, Any]]], size: Size) -> Iterator[Row]:
    """Yield the rows of table target; the accuracies of this series are those of its committed seeds."""
    case, ours, final = "time to the target", runs["target", THIS_SERIES], committed(SHORT)
    about = {"step": SHORT, "epochs": steps.get(SHORT).recipe.epochs, "final_accuracy": final, "reached": reached(final)}
    yield Row("target", case, THIS_SERIES, "s", tuple(run["seconds"] for run in ours), median_parts(ours), about)
    for name, baseline in BASELINES.items():
        made = runs["seed", name]
        final = made[0]["accuracy"][-1:] if size.whole else []
        about = {"epochs": baseline.epochs, "final_accuracy": final, "reached": reached(final)}
        yield Row("target", case, baseline.title, "s", tuple(whole_schedule(run, baseline.epochs) for run in made), {}, about)


def throughput_rows(runs: dict[tuple[str, str], list[dict[str, Any]]]) -> Iterator[Row]:
    """Yield the rows of table throughput."""
    unit = "seeds per hour"
    yield Row("throughput", "one worker", THIS_SERIES, unit, tuple(3600 / run["seconds"] for run in runs["seed", THIS_SERIES]))
    yield Row("throughput", "two workers", THIS_SERIES, unit, tuple(7200 / run["seconds"] for run in runs["throughput", THIS_SERIES]))
    for name, baseline in BASELINES.items():
        alone, both = ([whole_schedule(run, baseline.epochs) for run in runs[table, name]] for table in ("seed", "throughput"))
        yield Row("throughput", "one process", baseline.title, unit, tuple(3600 / seconds for seconds in alone))
        yield Row("throughput", "two processes", baseline.title, unit, tuple(7200 / seconds for seconds in both))


def committed(name: str) -> list[float]:
    """Return the final accuracies of a step's committed seeds."""
    path = files.root() / "reports" / "results" / f"{name}.json"
    return [run.final for run in result.read(path).runs] if path.exists() else []


def reached(final: list[float]) -> bool | None:
    """Return whether the median of some final accuracies reaches the target, None where there are none."""
    return statistics.median(final) >= recipe.MIN_ACCURACY if final else None


def augmentation(size: Size) -> Iterator[Row]:
    """Table augmentation: images warped per second in one thread."""
    for method, values in warps.measure(size.rounds).items():
        yield Row("augmentation", "the same affine warp", method, "images per second", tuple(values))


def step(size: Size) -> Iterator[Row]:
    """Table step: a training step by part, its efficiency, and what each optimisation is worth."""
    batch_size = steps.get(SHORT).recipe.batch_size
    cases: list[tuple[str, list[str], str]] = [(name, ["--variant", name], kind) for name, kind in training_step.VARIANTS.items()]
    cases += [(f"batch size {n}", ["--batch-size", str(n)], "another batch size") for n in (64, 256, 512) if n != batch_size]
    cases += [(f"net {net.rpartition(':')[2]}", ["--model", net], "another net") for net in training_step.NETS]
    if not size.whole:
        cases = cases[:2]
    runs: dict[str, list[dict[str, Any]]] = {}
    for _ in range(size.rounds):
        for name, arguments, _kind in cases:
            runs.setdefault(name, []).extend(processes.run(["benchmarks.training_step", SHORT, *arguments]))
            log.info(f"step  {name}  {runs[name][-1]['step']:.1f} ms")
    for name, _, kind in cases:
        parts = {part: statistics.median(run[part] for run in runs[name]) for part in ("prepare", "forward", "backward", "optimizer")}
        about = {key: statistics.median(run[key] for run in runs[name]) for key in ("efficiency", "gflops", "mflop_per_image", "compile")}
        yield Row("step", name, THIS_SERIES, "ms", tuple(run["step"] for run in runs[name]), parts, about | {"kind": kind})


def notebook(size: Size) -> Iterator[Row]:
    """Table notebook: what a notebook adds to the same training by a script."""
    few, folder = str(size.train_limit or 6_000), "build/benchmarks"
    script, report, kernel = [], [], []
    for _ in range(size.rounds):
        script.append(processes.run(["benchmarks.series", SHORT, "--epochs", "1", "--train-limit", few])[0]["seconds"])
        parameters = ["-p", "train_limit", few, "-p", "epochs", "1", "-p", "workers", "1", "-y", "seeds: [0]", "--out", folder]
        report.append(processes.whole("-m", "mnistlib", "report", SHORT, *parameters))
        kernel.append(processes.run(["benchmarks.notebook_overhead"])[0])
        log.info(f"notebook  script {formatting.seconds(script[-1])}, notebook {formatting.seconds(report[-1])}")
    added = tuple(long - short for long, short in zip(report, script, strict=True))
    bare = {name: statistics.median(run[name] for run in kernel) for name in ("imports", "papermill and kernel", "page")}
    cells = max(0.0, statistics.median(added) - sum(bare.values()))
    yield Row("notebook", "a script", THIS_SERIES, "s", tuple(script))
    yield Row("notebook", "notebook through papermill, with its page", THIS_SERIES, "s", tuple(report))
    yield Row("notebook", "overhead of the notebook", THIS_SERIES, "s", added, bare | {"figures, tables, comparisons": cells})


def scaling(size: Size) -> Iterator[Row]:
    """Table scaling: the time of one epoch against seeds, training images and parameters, without the start of the process."""
    n = size.train_limit or 60_000
    cases: list[tuple[str, float, list[str]]] = [
        *(("seeds", k, ["--seeds", str(k), "--workers", "2", "--train-limit", str(n // 4)]) for k in (1, 2, 4, 8, 16)),
        *(("training images", n // k, ["--train-limit", str(n // k)]) for k in (16, 8, 4, 2, 1)),
        *(
            ("parameters", None, ["--train-limit", str(n // 4), "--model", net])
            for net in (training_step.NETS[-1], steps.get(SHORT).recipe.model, "skeleton")
        ),
    ]
    cases = cases if size.whole else cases[:2]
    for case, amount, arguments in cases:
        runs = [processes.run(["benchmarks.series", SHORT, "--epochs", "1", *arguments])[0] for _ in range(min(2, size.rounds))]
        values, amount = tuple(run["parts"]["train"] for run in runs), amount or runs[0]["n_parameters"]
        log.info(f"scaling  {case} {amount}  {formatting.seconds(values[-1])}")
        yield Row("scaling", case, THIS_SERIES, "s", values, {}, {"amount": amount})


def gpu(size: Size) -> Iterator[Row]:
    """Table gpu, where there is a CUDA GPU: the training seconds of one seed, and of many trained together."""
    for n, case in ((1, "one seed"), (32, "32 seeds")) if torch.cuda.is_available() else ():
        runs = [processes.run(["benchmarks.series", FULL, "--seeds", str(n)])[0] for _ in range(size.rounds)]
        values = tuple(sum(run["epochs"]) for run in runs)
        log.info(f"gpu  {case}  {formatting.seconds(values[-1])}")
        yield Row("gpu", case, THIS_SERIES, "s", values)


def sweep(size: Size) -> Iterator[Row]:
    """Table sweep: equal short runs per hour, each a notebook, on one node with one CPU and on two."""
    n_runs, limit = (6, 6_000) if size.whole else (2, size.train_limit or 6_000)
    runs: dict[str, list[dict[str, Any]]] = {"one node": [], "two nodes": []}
    for _ in range(size.rounds):
        for n_nodes, case in enumerate(runs, start=1):
            arguments = ["--nodes", str(n_nodes), "--runs", str(n_runs), "--train-limit", str(limit)]
            runs[case] += processes.run(["benchmarks.sweep", SHORT, *arguments])
            log.info(f"sweep  {case}  {formatting.seconds(runs[case][-1]['seconds'])}")
    kind = f"{n_runs} runs of {SHORT}, each one seed, one epoch and {formatting.count(limit)} images"
    for case, made in runs.items():
        yield Row("sweep", case, THIS_SERIES, "runs per hour", tuple(3600 * n_runs / run["seconds"] for run in made), {}, {"kind": kind})
