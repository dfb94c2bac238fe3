"""A job: one notebook with its parameters, run to its end once, in a process and a folder of its own.

A laptop, a cluster and an EC2 instance all run jobs. The folder holds all there is to know of a run: the executed notebook, its page,
results/ and checkpoints/, the log, a line of JSON per epoch, and, written last, the record.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import nbformat

from mnistlib import files, steps
from mnistlib.errors import MnistlibError, ResultError, SettingError
from mnistlib.notebook import params, runner
from mnistlib.notebook.params import Settings
from mnistlib.published import registry
from mnistlib.runs import cloud_machine, progress, seeds

RECORD, LOG, EPOCHS, RUNS = "job.json", "log.txt", "epochs.jsonl", "trials"  # in a job's folder; the last until it has succeeded
SCHEMA = 1
HERE = ("data_dir", "workers")  # parameters that say where and how a job runs, not what it is
OWN = "results_dir"  # the parameter that a job sets itself


@dataclass(frozen=True)
class Job:
    """A notebook and what it is given; `key` says which one it is, whatever the machine."""

    notebook: Path
    parameters: Mapping[str, Any]
    key: str

    @property
    def name(self) -> str:
        """Return the name of its folder: the notebook's, and the beginning of its key."""
        return f"{self.notebook.stem}-{self.key[:10]}"


@dataclass(frozen=True)
class Record:
    """How a job ended."""

    key: str
    notebook: str
    parameters: dict[str, Any]  # those given
    status: str  # "succeeded" or "failed"
    reason: str  # a sentence where it failed, else ""
    seconds: float


def succeeded(job: Job, folder: Path) -> bool:
    """Say whether this very job has succeeded in a folder."""
    try:
        record = read(folder)
    except ResultError:
        return False
    return record.key == job.key and record.status == "succeeded"


def read(folder: Path) -> Record:
    """Return the record in a job's folder; raise ResultError where there is none or it cannot be read."""
    try:
        value = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if value.pop("schema") != SCHEMA:
            raise ValueError("another schema")
        return Record(**value)
    except FileNotFoundError:
        raise ResultError(f"There is no {RECORD} in {str(folder)!r}: nothing ran to its end there.") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResultError(f"{str(folder / RECORD)!r} cannot be read ({error}).") from None


def record_text(job: Job, status: str, reason: str, seconds: float) -> bytes:
    """Return the text of a record."""
    told = Record(job.key, job.notebook.name, dict(job.parameters), status, reason, round(seconds, 1))
    return json.dumps({"schema": SCHEMA, **asdict(told)}, indent=1, ensure_ascii=False).encode()


def make(notebook: Path, parameters: Mapping[str, Any]) -> Job:
    """Return the job that runs a notebook with parameters; raise SettingError for one that it does not have or may not be given."""
    defaults = runner.parameters_of(notebook)
    params.check_names(parameters, list(defaults))
    if OWN in parameters:
        raise SettingError(f"The parameter {OWN!r} is set by the run itself: every run has a folder of its own.")
    _check(notebook, defaults | dict(parameters))
    deciding = {name: value for name, value in (defaults | dict(parameters)).items() if name not in (*HERE, OWN)}
    story = nbformat.read(notebook, as_version=4)
    cells = [[cell.cell_type, cell.source] for cell in story.cells if "parameters" not in cell.metadata.get("tags", ())]
    try:
        key = files.sha256(files.canonical([notebook.stem, cells, deciding, library()]))[:24]
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"A parameter's value cannot be written as JSON ({error}); give numbers, texts, lists, true, false or null."
        ) from None
    return Job(notebook, dict(parameters), key)


def _check(notebook: Path, values: dict[str, Any]) -> None:
    """Raise SettingError for what a step's notebook, or that of the published rows, would refuse once it runs.

    A device that is not here may be where it runs.
    """
    if not {field.name for field in fields(Settings)} <= set(values):
        return
    here = {"seeds": [0] if values["seeds"] is None else values["seeds"], OWN: Settings.results_dir}
    given = params.read(values | here | ({"device": "auto"} if values["device"] in params.DEVICES else {}))
    if "row" in values:
        given.recipe(registry.get(str(values["row"])).recipe)
    elif notebook.stem in steps.STEPS:
        given.recipe(steps.get(notebook.stem).recipe)


def library() -> str:
    """Return the hash of all that this package's folder holds and that can decide a run or a page."""
    folder = Path(__file__).resolve().parents[1]
    parts = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".j2", ".css", ".json"))
    return files.sha256(files.canonical([[path.relative_to(folder).as_posix(), files.sha256(path)] for path in parts]))


def run(job: Job, folder: Path, show: Callable[[str], Any] = print) -> runner.Done:
    """Run a job in its folder and return what it left; a record is written whether it succeeds or fails, none where it is stopped.

    What is printed is kept in the folder's log as well, and training under way in its `trials`, until the unit has succeeded.
    Raises what `runner.run` raises.
    """
    folder, clock = files.writable(folder.resolve()), time.perf_counter()
    (folder / RECORD).unlink(missing_ok=True)
    defaults = runner.parameters_of(job.notebook)
    given = dict(job.parameters) | ({OWN: str(folder)} if OWN in defaults else {})

    def record(status: str, reason: str = "") -> None:
        files.write(folder / RECORD, record_text(job, status, reason, time.perf_counter() - clock))

    kept = {progress.JOURNAL: folder / EPOCHS, cloud_machine.LOG: folder / LOG, seeds.STORE: folder / RUNS}
    with open(folder / LOG, "a", encoding="utf-8") as log, _copied(log), _named(kept):
        try:
            done = runner.run(job.notebook, folder, given, show=show)
        except Exception as error:
            reason = str(error) if isinstance(error, MnistlibError) else f"{type(error).__name__}: {error}"
            print(f"Failed: {reason}", file=log)
            record("failed", reason)
            raise
    shutil.rmtree(folder / RUNS, ignore_errors=True)
    record("succeeded")
    return done


@contextlib.contextmanager
def _named(paths: Mapping[str, Path]) -> Iterator[None]:
    """Name files and folders in the environment, for all that is started in here."""
    before = {name: os.environ.get(name) for name in paths}
    os.environ.update({name: str(path) for name, path in paths.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


class _Both:
    """A stream whose text goes to a log as well."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self.stream, self.log = stream, log

    def write(self, text: str) -> int:
        """Write text to both; in the log it is there at once."""
        self.log.write(text)
        self.log.flush()
        return self.stream.write(text)

    def flush(self) -> None:
        """Send what was written on its way."""
        self.stream.flush()


@contextlib.contextmanager
def _copied(log: TextIO) -> Iterator[None]:
    """Copy what is printed to a log."""
    with contextlib.redirect_stdout(_Both(sys.stdout, log)), contextlib.redirect_stderr(_Both(sys.stderr, log)):
        yield


def exit_with_parent() -> None:
    """End this process, as a request to end would, as soon as its standard input does: when whoever started it is gone."""

    def wait() -> None:
        while os.read(0, 1024):  # not sys.stdin, whose lock, held here, would make Python's own end a crash
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
