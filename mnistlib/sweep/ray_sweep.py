"""Many units of work at once on Ray: this machine, or a cluster; what has succeeded is not run again."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import math
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from mnistlib import files, formatting
from mnistlib.errors import SettingError
from mnistlib.notebook import runner
from mnistlib.sweep import job, packaging, worker
from mnistlib.sweep.job import Job, Record

RETRIES = 5  # times that a run is begun again where its machine, or its process, is lost
FIELD = "fields."  # what the name of a recipe's field in a grid begins with
MAX_UNITS = 10_000
MAX_TAKEN = 1_024  # CPUs or GPUs
ADDRESS = re.compile(r"(ray://)?(?P<host>[^:/]+):(?P<port>[0-9]+)")
INSTALL = "Sweeps need Ray, which is not installed here: `python -m pip install 'mnistlib[sweep]'`, in a clone `-e '.[sweep]'` instead."


@dataclass(frozen=True)
class Options:
    """What a run may take of a machine, and where."""

    address: str | None = None  # of a running cluster; None: $RAY_ADDRESS, or this machine
    cpus: float = 1.0  # of a machine, for each run
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.cpus <= MAX_TAKEN:  # a run that takes nothing would let all of them start at once
            raise SettingError(f"cpus is {self.cpus!r}; it must be a number above 0, up to {formatting.count(MAX_TAKEN)}.")
        if not 0 <= self.gpus <= MAX_TAKEN or (self.gpus > 1 and self.gpus % 1):
            raise SettingError(f"gpus is {self.gpus!r}; it must be a part of one, or a whole number up to {formatting.count(MAX_TAKEN)}.")


@dataclass(frozen=True)
class Sweep:
    """What became of a sweep's jobs, in their order."""

    folder: Path
    jobs: tuple[Job, ...]
    records: tuple[Record | None, ...]  # None for one that has not ended

    @property
    def failed(self) -> list[tuple[Job, Record]]:
        """Return the jobs that ended in failure, and how."""
        return [(one, record) for one, record in zip(self.jobs, self.records, strict=True) if record and record.status == "failed"]

    @property
    def succeeded(self) -> int:
        """Return how many jobs have succeeded."""
        return sum(record is not None and record.status == "succeeded" for record in self.records)


def axis(text: str) -> tuple[str, list[Any]]:
    """Return the name and the values that `NAME=[...]` on the command line gives."""
    name, equals, values = text.partition("=")
    try:
        read = yaml.safe_load(values)
    except yaml.YAMLError:
        read = None
    if not equals or not isinstance(read, list) or not read:
        raise SettingError(f"{text!r} is no row of the grid; write NAME=[VALUE, VALUE], such as epochs='[5, 10]'.")
    return name.strip(), read


def combinations(notebooks: Sequence[Path], grid: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> list[Job]:
    """Return a unit for each notebook and combination of the grid's values, the last parameter's going round first; equal ones come once.

    Raises SettingError for a parameter that one of the notebooks does not have, one both swept and fixed, or an empty list of values.
    """
    for name, values in grid.items():
        if name in fixed:
            raise SettingError(f"The parameter {name!r} is given both to sweep and as one value; give it once.")
        if not isinstance(values, list | tuple) or not values:
            raise SettingError(f"The grid's {name!r} is {values!r}; it must be a list of one or more values, such as [5, 10].")
    n_units = len(notebooks) * math.prod(map(len, grid.values()))
    if n_units > MAX_UNITS:
        raise SettingError(f"The grid has {formatting.count(n_units)} combinations; at most {formatting.count(MAX_UNITS)} are run at once.")
    for path, other in itertools.combinations(dict.fromkeys(notebooks), 2):
        if path.name == other.name:
            raise SettingError(f"{str(path)!r} and {str(other)!r} have the same name; rename one, or sweep them one after the other.")
    combined = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    made = [_unit(path, {**fixed, **one}) for path in notebooks for one in combined]
    return list({one.key: one for one in made}.values())


def _unit(notebook: Path, given: Mapping[str, Any]) -> Job:
    """Return the unit that runs a notebook with parameters; raise SettingError, naming the notebook, for those it may not be given.

    A name such as fields.optimizer.lr stands for one entry of the parameter `fields`.
    """
    inner = {name.removeprefix(FIELD): value for name, value in given.items() if name.startswith(FIELD)}
    given = {name: value for name, value in given.items() if not name.startswith(FIELD)}
    try:
        return job.make(notebook, given | ({"fields": (given.get("fields") or {}) | inner} if inner else {}))
    except SettingError as error:
        raise SettingError(f"{notebook.name}: {error}") from None


def run(
    wanted: Sequence[Job],
    folder: Path,
    options: Options = Options(),  # noqa: B008
    show: Callable[[str], Any] = lambda line: print(line, flush=True),
) -> Sweep:
    """Run what is missing of a sweep's units, each in its own folder below `folder`, and return what became of all.

    A unit whose machine or process is lost is begun again elsewhere; one that fails stops no other. Raises SettingError where Ray is
    not installed or its cluster cannot be reached.
    """
    folder = files.writable(folder.resolve())
    missing = [one for one in wanted if not job.succeeded(one, folder / one.name)]
    show(f"{formatting.of(len(wanted) - len(missing), len(wanted))} runs have succeeded already, left: {formatting.count(len(missing))}")
    if missing:
        with _cluster(options, show) as ray:
            _work(ray, missing, folder, options, show)
    return Sweep(folder, tuple(wanted), tuple(_record(one, folder) for one in wanted))


def _record(one: Job, folder: Path) -> Record | None:
    """Return how a unit ended, None where it has not, or another stands in its folder."""
    if not (folder / one.name / job.RECORD).is_file():
        return None
    record = job.read(folder / one.name)
    return record if record.key == one.key else None


@contextlib.contextmanager
def _cluster(options: Options, show: Callable[[str], Any]) -> Iterator[Any]:
    """Connect to Ray: to the cluster at an address, or to one that lives on this machine meanwhile."""
    if importlib.util.find_spec("ray") is None:
        raise SettingError(INSTALL)
    address = options.address or os.environ.get("RAY_ADDRESS")
    if address and (found := ADDRESS.fullmatch(address)):  # Ray itself would try for minutes
        try:
            socket.create_connection((found["host"], int(found["port"])), timeout=10).close()
        except OSError as error:
            raise _unreachable(address, error.strerror or str(error)) from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    shared = {"py_modules": [str(Path(job.__file__).resolve().parents[1])], "excludes": ["__pycache__"]}
    answered = signal.getsignal(signal.SIGTERM)
    try:
        local = {} if address else {"include_dashboard": False}  # "local": never a cluster that happens to run on this machine
        ray.init(address=address or "local", runtime_env=shared, log_to_driver=False, logging_level="error", **local)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise _unreachable(address, str(error).splitlines()[0]) from None
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, answered)  # Ray has put its own in place
        show(f"Ray has {_resources(ray)}")
        if not any(node["Alive"] and _fits(node["Resources"], options) for node in ray.nodes()):
            wanted = f"{formatting.number(options.cpus)} CPUs and {formatting.number(options.gpus)} GPUs for a run"
            if not address:
                raise SettingError(f"This machine does not have {wanted}; lower --cpus or --gpus, or name a cluster by --address.")
            show(f"No machine of the cluster has {wanted}; the runs wait until one comes")
        yield ray
    finally:
        ray.shutdown()


def _unreachable(address: str | None, why: str) -> SettingError:
    """Return the error of a cluster that does not answer."""
    where = f"at {address!r}" if address else "on this machine"
    return SettingError(
        f"Ray's cluster {where} cannot be reached ({why}); `ray start --head` starts one, --address and $RAY_ADDRESS name it, "
        "and RAY_AUTH_MODE=token in the environment goes with one that asks for a token."
    )


def _work(ray: Any, missing: Sequence[Job], folder: Path, options: Options, show: Callable[[str], Any]) -> None:
    """Run units on a cluster, and bring each one's folder home as it ends."""
    data = {f"data/{name}": body for name, body in packaging.data(missing).items()}
    clock, shipped = time.perf_counter(), ray.put(packaging.project(missing) | data)
    taken = {"num_cpus": options.cpus, "num_gpus": options.gpus, "scheduling_strategy": "SPREAD"}
    task = ray.remote(max_retries=RETRIES, **taken)(worker.run)
    waiting = {task.remote(one.notebook.name, _given(one, options), shipped): one for one in missing}
    n_failed, total = 0, len(waiting)
    while waiting:
        ended, _ = ray.wait(list(waiting), timeout=60)
        for reference in ended:
            one = waiting.pop(reference)
            try:
                contents, reason = ray.get(reference)
            except ray.exceptions.RayError as error:
                contents, reason = {}, _why(ray, error)
            record = worker.keep(one, contents, reason, folder / one.name)
            n_failed += record.status == "failed"
            done = total - len(waiting)
            left = (time.perf_counter() - clock) / done * len(waiting)
            show(
                f"{one.name}  {told(one)}  {record.status} after {formatting.seconds(record.seconds)}  "
                f"{formatting.of(done, total)}, {formatting.count(n_failed)} failed  left {formatting.seconds(left)}"
            )
        if not ended:
            show(f"{formatting.of(total - len(waiting), total)} runs have ended")


def _given(one: Job, options: Options) -> bytes:
    """Return a unit's parameters as they are sent, with as many workers as it takes CPUs where nothing else is asked for."""
    if "workers" in runner.parameters_of(one.notebook):
        one = replace(one, parameters={"workers": max(1, int(options.cpus)), **one.parameters})
    return packaging.parameters(one)


def _why(ray: Any, error: Exception) -> str:
    """Return why Ray has given a run up, in a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, ray.exceptions.RayTaskError):  # a traceback, which says last what it is
        return f"It could not be run there: {lines[-1]}"
    return f"Ray has given it up ({type(error).__name__}): {lines[0]}"


def _fits(has: Mapping[str, float], options: Options) -> bool:
    """Say whether a run fits on a machine that has these resources."""
    return has.get("CPU", 0) >= options.cpus and has.get("GPU", 0) >= options.gpus


def told(one: Job) -> str:
    """Return what a unit is given, as text: "epochs 5, seeds [0]"."""
    return ", ".join(f"{name} {value}" for name, value in one.parameters.items()) or "as it stands"


def _resources(ray: Any) -> str:
    """Return what a cluster has, in words."""
    alive, has = sum(node["Alive"] for node in ray.nodes()), ray.cluster_resources()
    parts = ((alive, "machine"), (has.get("CPU", 0), "CPU"), (has.get("GPU", 0), "GPU"))
    return ", ".join(f"{formatting.number(n)} {word}{'s' * (n != 1)}" for n, word in parts)
