"""A class's submissions, checked in the sandbox and trained as jobs, here or on a Ray cluster; what has ended is not done again.

Every submission is the job of running notebooks/your_own.ipynb, in a folder of its own below the results: what `mnistlib judge` does.
A check that fails ends the job before it begins.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from cloud import job, packaging
from cloud.job import Job, Record
from cloud.sweep import ray_sweep
from coursework import inspection, judge, outline, own_report, sandbox
from coursework.inspection import Inspected, RuleError
from coursework.sandbox import Limits
from coursework.source import FORMS
from mnistlib import files, formatting
from mnistlib.errors import MnistlibError, SettingError
from mnistlib.logs import log
from mnistlib.notebook import runner
from mnistlib.runs import device

LARGEST = 32 << 20  # bytes of a submission's file, pictures in a notebook included
LONGEST = 100_000  # bytes of its code, written as a parameter of a job; a system's command lines hold little more
IGNORED = ("__pycache__", "__MACOSX")
OWNER = "class.txt"  # names the folder whose results stand beside it
CHECK = 120  # seconds of processor time that the check may take, at most


@dataclass(frozen=True)
class Submission:
    """What somebody handed in."""

    name: str  # the file's, without its ending, or the folder's
    file: str  # below the class's folder; "" where there is none to grade
    text: str  # of the file
    problem: str = ""  # a sentence that says why there is nothing to grade
    line: int | None = None  # where the problem is


@dataclass(frozen=True, eq=False)
class Entry:
    """A submission with its job, and what its code is built like."""

    submission: Submission
    job: Job | None = None
    shingles: frozenset[int] = frozenset()
    problem: str = ""
    line: int | None = None

    @property
    def name(self) -> str:
        """Return the submission's name."""
        return self.submission.name


@dataclass(frozen=True)
class Assignment:
    """All submissions, and where their jobs leave what they make."""

    folder: Path
    out: Path
    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]  # names of what is no submission
    parameters: Mapping[str, Any]  # the same for all

    def record(self, entry: Entry) -> Record | None:
        """Return how an entry's job ended, None where it has not."""
        return entry.job and job.read_if_any(entry.job, self.out / entry.job.name)

    def net(self, entry: Entry) -> Inspected | None:
        """Return what the check found of an entry's net, None where it has not come to its end."""
        found = sorted((self.out / entry.job.name / inspection.CHECKS).glob("*.json")) if entry.job else []
        return Inspected("", entry.job.parameters["model"], inspection.answer_of(found[0].read_bytes())) if found else None

    def check(self, entry: Entry, stop: threading.Event | None = None) -> Inspected:
        """Check an entry's net in the sandbox, unless that was done."""
        given = entry.job.parameters
        chosen = judge.options(given["options"])
        allowed = replace(chosen, seconds=min(CHECK, chosen.seconds)).limits
        return inspection.read(given["model"], given["source"], self.out / entry.job.name, chosen.own_recipe, allowed, stop)


def find(folder: Path, out: Path) -> tuple[list[Submission], list[str]]:
    """Return the submissions in a folder, by name, and the names of what is none; raise SettingError where there is no submission.

    A submission is a file or a sub-folder with one file. Links are not followed, for they may lead anywhere.
    """
    if folder.is_file():
        raise SettingError(f"{str(folder)!r} is a file; name the folder that holds the submissions. mnistlib judge takes a single file.")
    if not folder.is_dir():
        raise SettingError(f"There is no folder {str(folder)!r}; name the one that holds the submissions.")
    found, left_out = [], []
    for path in sorted(folder.iterdir(), key=lambda path: (path.name.casefold(), path.name)):
        if _hidden(path) or out == path.resolve() or path.resolve() in out.parents:
            continue
        if path.is_symlink():
            found.append(Submission(path.stem, "", "", f"{path.name} is a link; links are not followed."))
        elif path.is_dir():
            found.append(_in_folder(path))
        elif path.suffix in FORMS:
            found.append(_read(path.stem, path, path.name))
        else:
            left_out.append(path.name)
    if not found:
        raise SettingError(f"{str(folder)!r} holds no submission; a submission is a .py or .ipynb file, or a folder with one.")
    names = [one.name for one in found]
    return [one if names.count(one.name) == 1 else replace(one, name=one.file or f"{one.name}/") for one in found], left_out


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name in IGNORED


def _in_folder(folder: Path) -> Submission:
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in FORMS and not _hidden(path)]
    if len(paths) == 1 and paths[0].is_file() and not paths[0].is_symlink():
        return _read(folder.name, paths[0], f"{folder.name}/{paths[0].name}")
    problem = "The folder holds no .py or .ipynb file."
    if paths:
        names = formatting.listed([path.name for path in paths[:5]])
        several = f"The folder holds several submissions ({names}); leave one."
        problem = several if len(paths) > 1 else f"{names} is a link or a folder; links are not followed."
    return Submission(folder.name, "", "", problem)


def _read(name: str, path: Path, file: str) -> Submission:
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST else b""
        text = content.decode() if path.suffix == ".py" else _code(content.decode())
    except OSError as error:
        return Submission(name, file, "", f"The file cannot be read ({error.strerror}).")
    except UnicodeDecodeError as error:
        return Submission(name, file, "", "The file is not text in UTF-8.", content[: error.start].count(b"\n") + 1)
    size = len(yaml.safe_dump(text))
    problem = "The file is empty." if not path.stat().st_size else "The code is too long." if not text or size > LONGEST else ""
    return Submission(name, file, text, problem)


def _code(text: str) -> str:
    """Return a notebook without its outputs, the numbers of its cells kept; anything else as it is."""
    try:
        story = json.loads(text)
        cells = [{"cell_type": one["cell_type"], "metadata": {}, "source": "".join(one["source"])} for one in story["cells"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return text[:LONGEST]
    code = [one | {"execution_count": None, "outputs": []} if one["cell_type"] == "code" else one | {"source": ""} for one in cells]
    return json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}, ensure_ascii=False)


def prepare(folder: Path, out: Path, parameters: Mapping[str, Any]) -> Assignment:
    """Return the class in a folder, every submission read and no code of any executed."""
    found, left_out = find(folder, out)
    owner, own = out / OWNER, str(folder.resolve())
    if owner.is_file() and (other := owner.read_text(encoding="utf-8").strip()) != own:
        raise SettingError(f"{out} holds the results of {other}; name another place with --out, or delete that one.")
    files.write(owner, own + "\n")
    notebook = runner.find(own_report.NOTEBOOK)
    with ThreadPoolExecutor(device.n_cores()) as pool:
        entries = pool.map(lambda one: _entry(one, notebook, parameters), found)
    return Assignment(folder, out, tuple(entries), tuple(left_out), parameters)


def _entry(one: Submission, notebook: Path, parameters: Mapping[str, Any]) -> Entry:
    if one.problem:
        return Entry(one, problem=one.problem, line=one.line)
    model = re.sub(r"[^\w.-]", "_", Path(one.file).name)
    error, line, shingles = _outline(model, one.text)
    if error:
        return Entry(one, problem=error, line=line)
    return Entry(one, job.make(notebook, {"model": model, "source": one.text, **parameters}), shingles)


def _outline(name: str, text: str) -> tuple[str, int | None, frozenset[int]]:
    """Return why a file cannot be read and in which line, and otherwise the shingles of its syntax tree."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        (scratch / name).write_text(text, encoding="utf-8")
        (scratch / name).chmod(0o644)
        command = [sys.executable, "-I", "-S", str(Path(outline.__file__).resolve()), name]
        outcome = sandbox.run(command, scratch, limits=Limits(seconds=120, cpu_seconds=30, memory=1 << 30))
        try:
            answer = json.loads(sandbox.read(scratch / outline.OUTLINE, LARGEST) or b"")
            line = answer["line"] and int(answer["line"])
            return inspection.printable(str(answer["error"])), line, frozenset(map(int, answer["shingles"]))
        except (ValueError, KeyError, TypeError):
            return f"{name} cannot be read. {outcome.reason}".strip(), None, frozenset()


def own_reason(record: Record) -> str:
    """Return the sentence about a net's own failure; "" where it succeeded, or where the machine failed."""
    return own_report.own_error(record.reason) if record.status == "failed" else ""


def is_open(record: Record | None) -> bool:
    """Say whether a job is to be run, or to be run again."""
    return record is None or (record.status == "failed" and not own_reason(record))


def run(assignment: Assignment, workers: int, address: str | None, ended: Callable[[], Any]) -> None:
    """Check and train all submissions of which that was not done; `ended` is called whenever something about one is known.

    `workers` processes work side by side on this machine. At an `address` there is a Ray cluster, which trains.
    """
    entries = {entry.job.key: entry for entry in assignment.entries if entry.job}  # files that are the same are one job
    missing = [entry for entry in entries.values() if is_open(assignment.record(entry))]
    log.info(f"Submissions: {formatting.count(len(assignment.entries))}, to check or train: {formatting.count(len(missing))}")
    if missing:
        passed = _check(assignment, missing, workers, ended)
        if address:
            names = {entry.job.key: inspection.printable(entry.name) for entry in passed}
            ray_sweep.run([entry.job for entry in passed], assignment.out, ray_sweep.Options(address), ended, names)
        else:
            _train(passed, assignment.out, workers, ended)


def _check(assignment: Assignment, entries: Sequence[Entry], workers: int, ended: Callable[[], Any]) -> list[Entry]:
    """Check the nets of some entries, record what fails, and return those that can be trained."""
    stop = threading.Event()

    def one(entry: Entry) -> str:
        clock = time.perf_counter()
        try:
            _require_rules(assignment.check(entry, stop))
        except MnistlibError as error:
            if stop.is_set():
                raise
            reason = f"{type(error).__name__}: {error}"
            record = job.record_text(entry.job, "failed", reason, time.perf_counter() - clock)
            files.write(assignment.out / entry.job.name / job.RECORD, record)
            return reason
        return ""

    failed = {}
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(one, entry): entry for entry in entries}
        try:
            for done in as_completed(waiting):
                failed[waiting[done]] = done.result()
                log.info(f"{inspection.printable(waiting[done].name)}  {'not trained' if done.result() else 'checked'}")
                ended()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [entry for entry in entries if not failed[entry]]


def _require_rules(net: Inspected) -> None:
    """Raise RuleError, with what was found, where a net breaks a rule."""
    if net.broken:
        more = f" That is one of {formatting.count(len(net.broken))} broken rules." if len(net.broken) > 1 else ""
        worst = next((one for one in net.broken if one.rule in inspection.UNTRAINABLE), net.broken[0])
        raise RuleError(f"It breaks a rule of the exercise, {worst.rule}. {worst.what[: sandbox.LONGEST]}{more}")


def _train(entries: Sequence[Entry], out: Path, workers: int, ended: Callable[[], Any]) -> None:
    """Run the jobs of entries on this machine, `workers` at a time."""
    waiting, running = list(entries), {}
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: _stop(running))
        while waiting or running:
            while waiting and len(running) < workers:
                entry, printed = waiting.pop(0), stack.enter_context(tempfile.TemporaryFile())
                running[_start(entry.job, out / entry.job.name, printed)] = entry, printed
            for process in [process for process in running if process.poll() is not None]:
                entry, printed = running.pop(process)
                printed.seek(0)
                said = printed.read().decode(errors="replace")
                record = ray_sweep.keep(entry.job, None, process.returncode, said, out / entry.job.name)
                name, left = inspection.printable(entry.name), formatting.count(len(waiting) + len(running))
                log.info(f"{name}  {record.status} after {formatting.seconds(record.seconds)}  left: {left}")
                ended()
            time.sleep(0.2)


def _start(one: Job, folder: Path, printed: Any) -> subprocess.Popen:
    """Start a job, which ends when this process does."""
    given = packaging.parameters(replace(one, parameters={**one.parameters, "workers": 1})).decode()
    words = ["job", str(one.notebook), "--out", str(folder), "-y", given, "--exit-with-parent"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (sandbox.library(), os.environ.get("PYTHONPATH"))))}
    pipes = {"stdin": subprocess.PIPE, "stdout": printed, "stderr": subprocess.STDOUT}
    return subprocess.Popen([sys.executable, "-m", "cloud", *words], env=environment, start_new_session=True, **pipes)


def _stop(running: Mapping[subprocess.Popen, Any]) -> None:
    """End jobs in an orderly way, so that they resume."""
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
