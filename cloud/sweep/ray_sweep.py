"""Many jobs at once on Ray, on this machine or a cluster; what has succeeded is not run again."""

import contextlib
import importlib.util
import itertools
import math
import os
import re
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from cloud import job, packaging
from cloud.aws.s3 import Folder
from cloud.job import Job, Record
from cloud.sweep import worker
from mnistlib import files, formatting
from mnistlib.errors import SettingError
from mnistlib.logs import log
from mnistlib.notebook import runner

OWN = ("py_modules", "excludes", "working_dir")  # of a runtime environment, set by a sweep
RETRIES = 5  # of a job whose machine or Ray worker is lost
OVERRIDE = "overrides."  # what the name of a recipe's field in a grid begins with
MAX_JOBS = 10_000
MAX_TAKEN = 1_024  # CPUs or GPUs
CHANGED = "The notebook or the library was changed while it ran, so something else was run."
ADDRESS = re.compile(r"(ray://)?(?P<host>[^:/]+):(?P<port>[0-9]+)")
INSTALL = "Sweeps need Ray, which is not installed; install it in a clone of the project: python -m pip install -e '.[sweep]'"


@dataclass(frozen=True)
class Options:
    """Where jobs run, and what each takes of a machine."""

    address: str | None = None  # of a running cluster; None: $RAY_ADDRESS, or this machine
    cpus: float = 1.0  # of a machine, for each job
    gpus: float = 0.0
    runtime_env: Mapping[str, Any] | None = None  # packages and more, as Ray takes them; only on a cluster
    remote: Folder | None = None  # in S3, where every job keeps its own folder

    def __post_init__(self) -> None:
        if not 0 < self.cpus <= MAX_TAKEN:  # jobs that take nothing would all start at once
            raise SettingError(f"cpus is {self.cpus!r}; it must be a number above 0, up to {formatting.count(MAX_TAKEN)}.")
        if not 0 <= self.gpus <= MAX_TAKEN or (self.gpus > 1 and self.gpus % 1):
            raise SettingError(f"gpus is {self.gpus!r}; it must be a part of one, or a whole number up to {formatting.count(MAX_TAKEN)}.")


@dataclass(frozen=True)
class Sweep:
    """A sweep's jobs and their records, in the same order."""

    folder: Path
    jobs: tuple[Job, ...]
    records: tuple[Record | None, ...]  # None for a job that has not ended

    @property
    def failed(self) -> list[tuple[Job, Record]]:
        """Return the jobs that failed, and their records."""
        return [(one, record) for one, record in zip(self.jobs, self.records, strict=True) if record and record.status == "failed"]

    @property
    def succeeded(self) -> int:
        """Return how many jobs have succeeded."""
        return sum(record is not None and record.status == "succeeded" for record in self.records)


def read_runtime_env(path: str | None) -> dict[str, Any] | None:
    """Return Ray's runtime environment from a YAML file; raise SettingError for what a sweep sets itself."""
    if path is None:
        return None
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict) or not value or set(value) & set(OWN):
        raise SettingError(
            f"{path!r} must hold a runtime environment of Ray's without {' or '.join(OWN)}, which a sweep sets itself; such as "
            "`pip: requirements.txt`."
        )
    return value


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
    """Return a job for each notebook and combination of the grid's values, the last parameter varying fastest, without duplicates.

    Raises SettingError for a parameter that one of the notebooks does not have, one both swept and fixed, or an empty list of values.
    """
    for name, values in grid.items():
        if name in fixed:
            raise SettingError(f"The parameter {name!r} is given both to sweep and as one value; give it once.")
        if not isinstance(values, list | tuple) or not values:
            raise SettingError(f"The grid's {name!r} is {values!r}; it must be a list of one or more values, such as [5, 10].")
    n_jobs = len(notebooks) * math.prod(map(len, grid.values()))
    if n_jobs > MAX_JOBS:
        raise SettingError(f"The grid has {formatting.count(n_jobs)} combinations; at most {formatting.count(MAX_JOBS)} are allowed.")
    for path, other in itertools.combinations(dict.fromkeys(notebooks), 2):
        if path.name == other.name:
            raise SettingError(f"{str(path)!r} and {str(other)!r} have the same name; rename one, or sweep them one after the other.")
    combined = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    made = [_job(path, {**fixed, **values}) for path in notebooks for values in combined]
    return list({one.key: one for one in made}.values())


def _job(notebook: Path, given: Mapping[str, Any]) -> Job:
    """Return the job of a notebook with parameters; a name such as overrides.optimizer.lr is one entry of the parameter `overrides`."""
    inner = {name.removeprefix(OVERRIDE): value for name, value in given.items() if name.startswith(OVERRIDE)}
    given = {name: value for name, value in given.items() if not name.startswith(OVERRIDE)}
    try:
        return job.make(notebook, given | ({"overrides": (given.get("overrides") or {}) | inner} if inner else {}))
    except SettingError as error:
        raise SettingError(f"{notebook.name}: {error}") from None


def run(
    jobs: Sequence[Job],
    folder: Path,
    options: Options = Options(),  # noqa: B008
    ended: Callable[[], Any] = bool,
    names: Mapping[str, str] | None = None,
) -> Sweep:
    """Run what is missing of a sweep's jobs, each in its own folder below `folder`, and return what became of all.

    A job whose machine or worker is lost starts again elsewhere; one that fails stops no other. A stopped sweep resumes; on a cluster,
    its unfinished jobs start again, unless they keep their folders in S3. `ended` is called after each. `names` are
    what the log calls jobs, by key; others are called by folder and parameters. Raises SettingError where Ray is missing or its cluster
    out of reach.
    """
    folder = files.writable(folder.resolve())
    for one in jobs if options.remote else ():
        if not job.succeeded(one, folder / one.name) and (options.remote / one.name).get(job.RECORD):
            _bring(options.remote, one, folder)
    missing = [one for one in jobs if not job.succeeded(one, folder / one.name)]
    log.info(f"{formatting.of(len(jobs) - len(missing), len(jobs))} jobs have succeeded already, left: {formatting.count(len(missing))}")
    if missing:
        address = options.address or os.environ.get("RAY_ADDRESS")
        if options.runtime_env and not address:
            raise SettingError("A runtime environment is for a cluster; name one with --address, or leave out --runtime-env.")
        with _cluster(address, options) as ray:
            _work(ray, missing, folder, options, not address, ended, names or {})
    return Sweep(folder, tuple(jobs), tuple(job.read_if_any(one, folder / one.name) for one in jobs))


@contextlib.contextmanager
def _cluster(address: str | None, options: Options) -> Iterator[Any]:
    if importlib.util.find_spec("ray") is None:
        raise SettingError(INSTALL)
    if address and address.startswith(("http://", "https://")):
        raise SettingError(
            f"{address!r} is an address of Ray's Jobs API, which `ray job submit` takes; --address takes HOST:PORT or ray://HOST:10001."
        )
    if address and (found := ADDRESS.fullmatch(address)):  # Ray itself would try for minutes
        try:
            socket.create_connection((found["host"], int(found["port"])), timeout=10).close()
        except OSError as error:
            raise _unreachable(address, error.strerror or str(error)) from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    answered = signal.getsignal(signal.SIGTERM)
    if address:  # the library is sent along
        modules = [str(Path(worker.LIBRARY) / name) for name in packaging.PACKAGES]
        environment = {**(options.runtime_env or {}), "py_modules": modules, "excludes": ["__pycache__"]}
        about = {"address": address, "runtime_env": environment}
    else:  # "local": never a cluster that happens to run on this machine
        about = {"address": "local", "include_dashboard": False}
    for more in (False,) if address else (True, False):  # Ray gives itself seconds to start, and a busy machine may need more at first
        try:
            ray.init(**about, log_to_driver=False, logging_level="error", configure_logging=False)
            break
        except Exception as error:
            if not more:
                raise _unreachable(address, " ".join(str(error).split())[:300]) from None
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, answered)  # Ray has put its own in place
        has = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        n_cpus, n_gpus = (formatting.number(sum(one.get(kind, 0) for one in has)) for kind in ("CPU", "GPU"))
        log.info(f"Ray has machines: {len(has)}, CPUs: {n_cpus}, GPUs: {n_gpus}")
        if any(one.get("GPU", 0) for one in has) and not options.gpus:
            log.info("Ray hides the GPUs from jobs that take none; --gpus 1 gives each job one")
        if not any(one.get("CPU", 0) >= options.cpus and one.get("GPU", 0) >= options.gpus for one in has):
            wanted = f"{formatting.number(options.cpus)} CPUs and {formatting.number(options.gpus)} GPUs for a job"
            if not address:
                raise SettingError(f"This machine does not have {wanted}; lower --cpus or --gpus, or name a cluster by --address.")
            log.info(f"No machine of the cluster has {wanted}; the jobs wait for one")
        yield ray
    finally:
        ray.shutdown()


def _unreachable(address: str | None, why: str) -> SettingError:
    if not address:
        return SettingError(f"Ray does not start on this machine ({why}). If other programs keep it busy, try again when they have ended.")
    return SettingError(
        f"Ray's cluster at {address!r} cannot be reached ({why}). `ray start --head` starts a cluster; --address or $RAY_ADDRESS names it; "
        "set RAY_AUTH_MODE=token for one that asks for a token."
    )


def _work(
    ray: Any, missing: Sequence[Job], folder: Path, options: Options, here: bool, ended: Callable[[], Any], names: Mapping[str, str]
) -> None:
    """Run jobs, and record each one's end: in their final folders `here`, or on a cluster, whose files are brought home."""
    clock, n_failed, total = time.perf_counter(), 0, len(missing)
    task = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, scheduling_strategy="SPREAD", max_retries=RETRIES)(
        worker.run_here if here else worker.run_there
    )
    sent = () if here else (ray.put(packaging.project(missing)), job.RUNS)
    places = {one.key: str((options.remote or folder) / one.name) for one in missing}
    waiting = {
        task.remote(str(one.notebook) if here else one.notebook.name, _parameters(one, options), places[one.key], *sent): one
        for one in missing
    }
    while waiting:
        done, _ = ray.wait(list(waiting), timeout=60)
        for reference in done:
            one = waiting.pop(reference)
            try:
                left, code, said = ray.get(reference)
            except ray.exceptions.RayError as error:
                lines = str(error).strip().splitlines() or [""]
                in_worker = isinstance(error, ray.exceptions.RayTaskError)  # then it is a traceback, whose last line is the error
                record = _failed(one, folder / one.name, f"Ray gave it up ({type(error).__name__}): {lines[-1 if in_worker else 0]}")
            else:
                if options.remote:
                    _bring(options.remote, one, folder)
                record = keep(one, left, code, said, folder / one.name)
            ended()
            n_failed += record.status == "failed"
            n_done = total - len(waiting)
            remaining = (time.perf_counter() - clock) / n_done * len(waiting)
            log.info(
                f"{names.get(one.key) or f'{one.name}  {described(one)}'}  {record.status} after {formatting.seconds(record.seconds)}  "
                f"{formatting.of(n_done, total)}, {formatting.count(n_failed)} failed  left {formatting.seconds(remaining)}"
            )
        if not done:
            log.info(f"{formatting.of(total - len(waiting), total)} jobs have ended")


def _bring(remote: Folder, one: Job, folder: Path) -> None:
    """Download what a job has left in S3, without unfinished training, in place of its folder here."""
    with contextlib.suppress(FileNotFoundError):
        (folder / one.name / job.RECORD).unlink()
    (remote / one.name).download(folder / one.name, wanted=lambda name: not name.startswith(f"{job.RUNS}/"))


def keep(one: Job, left: Mapping[str, bytes] | None, code: int, said: str, folder: Path) -> Record:
    """Return the record of a job that has ended, after putting the files that it left, if any, in place of its folder.

    A job that left no record has failed, and so has one that ran as another: its notebook or the library was changed meanwhile.
    """
    if left is not None:
        with tempfile.TemporaryDirectory(dir=files.writable(folder.parent), prefix=f".{folder.name}.") as scratch:
            fresh = Path(scratch) / "fresh"
            for name, body in {job.LOG: said.encode(), **left}.items():
                files.write(fresh / name, body)
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            fresh.rename(folder)
    if not (folder / job.RECORD).is_file():
        last = (said.strip().splitlines() or ["it printed nothing"])[-1]
        return _failed(one, folder, f"Its process ended with code {code}: {last}", said)
    record = job.read(folder)
    return record if record.key == one.key else _failed(one, folder, CHANGED)


def _failed(one: Job, folder: Path, reason: str, said: str = "") -> Record:
    if not (folder / job.LOG).is_file():
        files.write(folder / job.LOG, said or f"Failed: {reason}\n")
    files.write(folder / job.RECORD, job.record_text(one, "failed", reason, 0.0))
    return job.read(folder)


def _parameters(one: Job, options: Options) -> str:
    """Return a job's parameters as YAML, with as many workers as it takes CPUs unless a number is given."""
    n_workers = {"workers": max(1, int(options.cpus))} if "workers" in runner.parameters_of(one.notebook) else {}
    return packaging.parameters(replace(one, parameters=n_workers | dict(one.parameters))).decode()


def described(one: Job) -> str:
    """Return a job's parameters as text, that of a net's file left out: "epochs 5, seeds [0]"."""
    return ", ".join(f"{name} {value}" for name, value in one.parameters.items() if name != "source") or "as it stands"
