"""The rows of the benchmark: each times our way and its rivals in turns, so that all meet the machine in the same moods."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks import processes, step, warps
from benchmarks.rivals import RIVALS
from mnistlib import files, formatting, recipe, sources, steps
from mnistlib.report import results

FULL, SHORT = "04_speed", "05_short"  # our step of all epochs, and the shortest schedule
OURS = "this series"


@dataclass(frozen=True)
class Size:
    """How much is measured: the whole, or a trial run of the benchmark itself."""

    rounds: int = 3  # turns that all rivals take
    sprint: int = 1  # epochs of a rival's round, from which its whole schedule is computed
    whole: bool = True  # whether each rival runs its whole schedule in the first round
    pairs: int = 2  # rounds that train two side by side as well
    limit: int | None = None  # our training images
    epochs: int | None = None  # our epochs; None: the recipe's


@dataclass(frozen=True)
class Row:
    """One figure of the benchmark."""

    row: str  # the letter of its table
    what: str
    who: str
    unit: str
    values: tuple[float, ...]  # one per round
    parts: dict[str, float] = field(default_factory=dict)  # seconds, medians over the rounds
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, Any]:
        """Return the row with its median and range."""
        return asdict(self) | {"median": self.median, "low": min(self.values), "high": max(self.values)}


def from_json(value: dict[str, Any]) -> Row:
    """Return the row that `to_json` turned into a dictionary."""
    fields = {name: value[name] for name in ("row", "what", "who", "unit", "parts", "about")}
    return Row(**fields, values=tuple(value["values"]))


def folder_for_torchvision() -> Path:
    """Return a folder that torchvision's MNIST can read, filled with the verified files."""
    folder = files.root() / "build" / "torchvision"
    contents, _ = sources.gather(sources.MNIST, None, lambda line: None)
    for about, content in zip(sources.MNIST.files, contents, strict=True):
        path = folder / "MNIST" / "raw" / Path(about.name).name.removesuffix(".gz")
        if not path.exists():
            files.write(path, content)
    return folder


def parts_of(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the median seconds of each part over some runs."""
    return {name: statistics.median(run["parts"].get(name, 0.0) for run in runs) for name in runs[0]["parts"]}


def schedule(run: dict[str, Any], epochs: int) -> float:
    """Return the seconds of a whole schedule from a run of some of its epochs: its start, and as many epochs as it has."""
    return run["seconds"] + (epochs - len(run["epochs"])) * statistics.mean(run["epochs"])


def scaled(run: dict[str, Any], epochs: int) -> dict[str, float]:
    """Return the parts of a whole schedule from those of a run of some of its epochs."""
    factor = epochs / len(run["epochs"])
    return {name: seconds * (factor if name in ("train", "evaluate") else 1) for name, seconds in run["parts"].items()}


def seeds(size: Size, show: Callable[[str], Any]) -> Iterator[Row]:
    """Rows a, b and c: a seed of all epochs, the shortest schedule that reaches the target, seeds per hour with two workers."""
    folder = str(folder_for_torchvision())
    cut = [*(["--limit", str(size.limit)] if size.limit else []), *(["--epochs", str(size.epochs)] if size.epochs else [])]
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def keep(letter: str, who: str, made: list[dict[str, Any]]) -> None:
        runs.setdefault((letter, who), []).append(made[0] | {"seconds": max(run["seconds"] for run in made)})
        show(f"{letter}  {who}  {formatting.seconds(runs[letter, who][-1]['seconds'])}")

    for turn in range(size.rounds):
        keep("a", OURS, processes.run(["benchmarks.ours", FULL, *cut]))
        for name, rival in RIVALS.items():
            epochs = str(rival.epochs if size.whole and turn == 0 else size.sprint)
            keep("a", name, processes.run(["benchmarks.rivals", name, "--folder", folder, "--epochs", epochs]))
        keep("b", OURS, processes.run(["benchmarks.ours", SHORT, *cut]))
        if turn < size.pairs:
            keep("c", OURS, processes.run(["benchmarks.ours", FULL, "--seeds", "2", "--workers", "2", *cut]))
            for name in RIVALS:
                two = [["benchmarks.rivals", name, "--folder", folder, "--seed", seed, "--threads", "1"] for seed in ("1", "2")]
                keep("c", name, processes.run(*two))
    complete = {name: runs["a", name][0] for name in RIVALS} if size.whole else {}

    ours, short = runs["a", OURS], runs["b", OURS]
    final = committed(SHORT)
    about = {"epochs": steps.get(FULL).recipe.epochs, "n_parameters": ours[0]["n_parameters"]}
    yield Row("a", "a seed, all epochs", OURS, "s", tuple(run["seconds"] for run in ours), parts_of(ours), about)
    for name, rival in RIVALS.items():
        made = runs["a", name]
        about = {"epochs": rival.epochs, "n_parameters": made[0]["n_parameters"], "epochs_timed": size.sprint}
        if name in complete:
            about |= {"whole": complete[name]["seconds"], "accuracy": complete[name]["accuracy"]}
        parts = parts_of([{"parts": scaled(run, rival.epochs)} for run in made])
        yield Row("a", "a seed, all epochs", rival.title, "s", tuple(schedule(run, rival.epochs) for run in made), parts, about)

    about = {"epochs": steps.get(SHORT).recipe.epochs, "final": final, "reached": reached(final)}
    yield Row("b", "time to the target", OURS, "s", tuple(run["seconds"] for run in short), parts_of(short), about)
    for name, rival in RIVALS.items():
        last = complete[name]["accuracy"][-1:] if name in complete else []
        values = tuple(schedule(run, rival.epochs) for run in runs["a", name])  # its whole schedule, as in a
        yield Row(
            "b", "time to the target", rival.title, "s", values, {}, {"epochs": rival.epochs, "final": last, "reached": reached(last)}
        )

    yield Row("c", "one worker", OURS, "seeds per hour", tuple(3600 / run["seconds"] for run in ours))
    yield Row("c", "two workers", OURS, "seeds per hour", tuple(7200 / run["seconds"] for run in runs["c", OURS]))
    for name, rival in RIVALS.items():
        alone, both = ([schedule(run, rival.epochs) for run in runs[letter, name]] for letter in "ac")
        yield Row("c", "one process", rival.title, "seeds per hour", tuple(3600 / seconds for seconds in alone))
        yield Row("c", "two processes", rival.title, "seeds per hour", tuple(7200 / seconds for seconds in both))


def committed(name: str) -> list[float]:
    """Return the last accuracies of a step's committed seeds."""
    path = files.root() / "reports" / "results" / f"{name}.json"
    return [run.final for run in results.read(path).runs] if path.exists() else []


def reached(final: list[float]) -> bool | None:
    """Say whether the median of some last accuracies reaches the target; None where there are none."""
    return statistics.median(final) >= recipe.MIN_ACCURACY if final else None


def augmentation(size: Size, show: Callable[[str], Any]) -> Iterator[Row]:
    """Row d: images warped a second in one thread, ours by the batch and torchvision's one by one."""
    for who, values in warps.measure(size.rounds, show).items():
        yield Row("d", "the same warp", who, "images per second", tuple(values))


def arithmetic(size: Size, show: Callable[[str], Any]) -> Iterator[Row]:
    """Row e: a training step by part, its share of the machine's rate, and what each economy is worth."""
    recipe_of = steps.get(FULL).recipe
    cases: list[tuple[str, list[str], str]] = [(name, ["--variant", name], kind) for name, kind in step.VARIANTS.items()]
    cases += [(f"{n} images a step", ["--batch", str(n)], "another batch size") for n in (64, 256, 512) if n != recipe_of.batch_size]
    cases += [(f"net {net}", ["--model", net], "another net") for net in ("skeleton", "average", "strided", "lean")]
    if not size.whole:
        cases = cases[:2]
    made: dict[str, list[dict[str, Any]]] = {}
    for _ in range(size.rounds):
        for name, arguments, _kind in cases:
            made.setdefault(name, []).extend(processes.run(["benchmarks.step", FULL, *arguments]))
            show(f"e  {name}  {formatting.mean_count(made[name][-1]['step'])} ms")
    for name, _, kind in cases:
        runs = made[name]
        parts = {part: statistics.median(run[part] for run in runs) for part in ("prepare", "forward", "backward", "optimizer")}
        about = {key: statistics.median(run[key] for run in runs) for key in ("share", "rate", "mflop_an_image", "compile")}
        yield Row("e", name, OURS, "ms a step", tuple(run["step"] for run in runs), parts, about | {"kind": kind})


def notebook(size: Size, show: Callable[[str], Any]) -> Iterator[Row]:
    """Row f: what a notebook adds to the same training by a script."""
    few, folder = str(size.limit or 6_000), "build/benchmarks"
    script, report, kernel = [], [], []
    for _ in range(size.rounds):
        script.append(processes.run(["benchmarks.ours", FULL, "--epochs", "1", "--limit", few])[0]["seconds"])
        asked = ["-p", "limit", few, "-p", "epochs", "1", "-p", "workers", "1", "-y", "seeds: [0]", "--out", folder]
        report.append(processes.whole("-m", "mnistlib", "report", FULL, *asked))
        kernel.append(processes.run(["benchmarks.empty"])[0])
        show(f"f  script {formatting.seconds(script[-1])}, notebook {formatting.seconds(report[-1])}")
    added = tuple(long - short for long, short in zip(report, script, strict=True))
    bare = {name: statistics.median(run[name] for run in kernel) for name in ("papermill and kernel", "page")}
    cells = max(0.0, statistics.median(added) - sum(bare.values()))
    yield Row("f", "a script", OURS, "s", tuple(script))
    yield Row("f", "papermill, notebook and page", OURS, "s", tuple(report))
    yield Row("f", "what the notebook adds", OURS, "s", added, bare | {"figures, tables, comparisons": cells})


def growth(size: Size, show: Callable[[str], Any]) -> Iterator[Row]:
    """Row g: how the time of one epoch grows with seeds, training images and parameters; the start of the process left out."""
    n = size.limit or 60_000
    cases: list[tuple[str, float, list[str]]] = [
        *(("seeds", k, ["--seeds", str(k), "--workers", "2", "--limit", str(n // 4)]) for k in (1, 2, 4, 8, 16)),
        *(("training images", n // k, ["--limit", str(n // k)]) for k in (16, 8, 4, 2, 1)),
        *(("parameters", None, ["--limit", str(n // 4), "--model", net]) for net in ("lean", "brisk", "skeleton")),
    ]
    cases = cases if size.whole else cases[:2]
    for what, amount, arguments in cases:
        made = [processes.run(["benchmarks.ours", FULL, "--epochs", "1", *arguments])[0] for _ in range(min(2, size.rounds))]
        values = tuple(run["parts"]["train"] for run in made)
        show(f"g  {what} {amount or made[0]['n_parameters']}  {formatting.seconds(values[-1])}")
        yield Row("g", what, OURS, "s", values, {}, {"amount": amount or made[0]["n_parameters"]})


def accelerator(size: Size, show: Callable[[str], Any]) -> Iterator[Row]:
    """Row h, where there is a CUDA GPU: the training seconds of one seed and of many stacked."""
    if torch.cuda.is_available():
        for n in (1, 32):
            made = [processes.run(["benchmarks.ours", FULL, "--seeds", str(n)])[0] for _ in range(size.rounds)]
            values = tuple(sum(run["epochs"]) for run in made)
            show(f"h  {n} seeds on a GPU  {formatting.seconds(values[-1])}")
            yield Row("h", f"{n} seeds, training on a GPU" if n > 1 else "one seed, training on a GPU", OURS, "s", values)


def sweep(size: Size, show: Callable[[str], Any]) -> Iterator[Row]:
    """Row i: equal short runs an hour, each a notebook, on one node of one CPU and on two."""
    n_runs, limit = (6, 6_000) if size.whole else (2, size.limit or 6_000)
    made: dict[str, list[dict[str, Any]]] = {"one node": [], "two nodes": []}
    for _ in range(size.rounds):
        for n_nodes, what in enumerate(made, start=1):
            arguments = ["--nodes", str(n_nodes), "--runs", str(n_runs), "--limit", str(limit)]
            made[what] += processes.run(["benchmarks.sweeping", FULL, *arguments])
            show(f"i  {what}  {formatting.seconds(made[what][-1]['seconds'])}")
    kind = f"{formatting.count(n_runs)} runs of {FULL}, a seed, an epoch and {formatting.count(limit)} images each"
    for what, runs in made.items():
        yield Row("i", what, OURS, "runs an hour", tuple(3600 * n_runs / run["seconds"] for run in runs), {}, {"kind": kind})
