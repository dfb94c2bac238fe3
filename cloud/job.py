"""A job: one notebook with its parameters, run to its end once, in a process and a folder of its own.

A laptop, a cluster and an EC2 instance all run jobs. The folder holds all there is to know of a run: the executed notebook, its page,
results/ and checkpoints/, the log, a line of JSON per epoch, and, written last, the record.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, TextIO

import nbformat

from mnistlib import files
from mnistlib.errors import MnistlibError, ResultError, SettingError
from mnistlib.notebook import runner

RECORD, LOG, EPOCHS, RUNS = "job.json", "log.txt", "epochs.jsonl", "runs"  # in a job's folder; the last until it has succeeded
SCHEMA = 1
HERE = ("workers",)  # parameters that say where and how a job runs, not what it is
OWN = "results_dir"  # the parameter that a job sets itself
LIBRARY = ("mnistlib", "coursework")  # the packages that decide what comes of a job; this one decides only where it runs


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
    record = read_if_any(job, folder)
    return record is not None and record.status == "succeeded"


def read_if_any(job: Job, folder: Path) -> Record | None:
    """Return the record of this very job in a folder, None where there is none."""
    with contextlib.suppress(ResultError):
        record = read(folder)
        return record if record.key == job.key else None
    return None


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
    """Return the job that runs a notebook with parameters; raise SettingError for what the notebook would refuse once it runs.

    A device that this machine lacks is accepted: the job may run elsewhere.
    """
    if OWN in parameters:
        raise SettingError(f"The parameter {OWN!r} is set by the job itself: every job has a folder of its own.")
    parameters = runner.full_names(notebook, parameters)
    values = runner.check(notebook, parameters, here=False)
    deciding = {name: value for name, value in values.items() if name not in (*HERE, OWN)}
    story = nbformat.read(notebook, as_version=4)
    cells = [[cell.cell_type, cell.source] for cell in story.cells if "parameters" not in cell.metadata.get("tags", ())]
    try:
        key = files.sha256(files.canonical([notebook.stem, cells, deciding, library()]))[:24]
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"A parameter's value cannot be written as JSON ({error}); give numbers, texts, lists, true, false or null."
        ) from None
    return Job(notebook, dict(parameters), key)


def library() -> str:
    """Return the hash of all that the packages' folders hold and that can decide a run or a page."""
    suffixes, packages = (".py", ".j2", ".css", ".json", ".yaml"), map(importlib.util.find_spec, LIBRARY)
    folders = [Path(one.origin).resolve().parent for one in packages if one]  # a cluster does not have them side by side
    found = ((path.relative_to(folder.parent).as_posix(), path) for folder in folders for path in folder.rglob("*"))
    return files.sha256(files.canonical([[name, files.sha256(path)] for name, path in sorted(found) if path.suffix in suffixes]))


def run(job: Job, folder: Path) -> runner.Done:
    """Run a job in its folder and return what it left; a record is written if it succeeds or fails, none if it is stopped.

    What is printed is kept in the folder's log as well. Unfinished training stays in `runs` until the job has succeeded.
    Raises what `runner.run` raises.
    """
    folder, clock = files.writable(folder.resolve()), time.perf_counter()
    given = dict(job.parameters) | ({OWN: str(folder)} if OWN in runner.parameters_of(job.notebook) else {})

    def record(status: str, reason: str = "") -> None:
        files.write(folder / RECORD, record_text(job, status, reason, time.perf_counter() - clock))

    with files.writing(folder), open(folder / LOG, "ab", buffering=0) as log, contextlib.ExitStack() as copying:
        copying.enter_context(contextlib.redirect_stdout(_Both(sys.stdout, log, folder)))
        copying.enter_context(contextlib.redirect_stderr(_Both(sys.stderr, log, folder)))
        with contextlib.suppress(OSError):  # on a file system without locks
            fcntl.flock(log, fcntl.LOCK_EX)  # an earlier process of the same job may still be stopping
        (folder / RECORD).unlink(missing_ok=True)
        try:
            done = runner.run(job.notebook, folder, given, log_file=folder / LOG)
        except Exception as error:
            reason = str(error) if isinstance(error, MnistlibError) else f"{type(error).__name__}: {error}"
            with contextlib.suppress(OSError):
                log.write(f"Failed: {reason}\n".encode())
            with contextlib.suppress(files.DiskError):  # the error itself says that the disk is full
                record("failed", reason)
            raise
    shutil.rmtree(folder / RUNS, ignore_errors=True)
    record("succeeded")
    return done


class _Both:
    """A stream whose text goes to a log as well, at once."""

    def __init__(self, stream: TextIO, log: RawIOBase, folder: Path) -> None:
        self.stream, self.log, self.folder = stream, log, folder

    def write(self, text: str) -> int:
        with files.writing(self.folder):
            self.log.write(text.encode())
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


def exit_with_parent() -> None:
    """Stop this process, as SIGTERM would, as soon as its standard input ends: when the process that started it is gone."""

    def wait() -> None:
        while os.read(0, 1024):  # not sys.stdin, whose lock, held here, would crash Python at its end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
