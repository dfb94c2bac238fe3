"""A unit of work run for another machine: in a process of its own, with nothing but what was sent, its files handed back.

A cluster's worker holds this module for as long as a run takes, and does no more than wait: it imports nothing that is large or slow.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mnistlib import files
from mnistlib.sweep import job
from mnistlib.sweep.job import Job, Record

CHANGED = "Its notebook or the library was changed while the sweep began, so something else was run."


def run(notebook: str, given: bytes, shipped: Mapping[str, bytes]) -> tuple[dict[str, bytes], str]:
    """Run a unit and return its folder's files; beside them, where it left no record, a sentence that says why, else "".

    `given` holds its parameters as YAML. The process ends where this one does, however that happens.
    """
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:
        place, out = Path(scratch), Path(scratch) / "out"
        for name, body in shipped.items():
            files.write(place / name, body)
        path, parameters = place / "notebooks" / notebook, files.write(place / "parameters.yaml", given)
        command = [sys.executable, "-m", "mnistlib", "job", str(path), "--out", str(out), "-f", str(parameters), "--exit-with-parent"]
        library = str(Path(__file__).resolve().parents[2])  # after the one that was sent, which must not change under way
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), library)))}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, cwd=place, env=environment, **pipes) as process:
            try:
                said = process.stdout.read()
            except BaseException:
                process.terminate()
                raise
        left = {path.relative_to(out): path for path in sorted(out.rglob("*")) if path.is_file()}
        contents = {name.as_posix(): path.read_bytes() for name, path in left.items() if name.parts[0] != job.RUNS}
    if job.RECORD in contents:
        return contents, ""
    last = (said.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    return contents | {job.LOG: said}, f"Its process ended with code {process.returncode}: {last}"


def keep(one: Job, contents: Mapping[str, bytes], reason: str, folder: Path) -> Record:
    """Write a unit's files in place of what its folder held and return its record; one that left none failed for `reason`.

    What ran as another unit has failed as well: the library or a notebook was changed after the unit was made.
    """
    files.writable(folder.parent)
    if reason:
        contents = {**contents, job.RECORD: job.record_text(one, "failed", reason, 0.0)}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        fresh = Path(scratch) / "fresh"
        for name, body in contents.items():
            files.write(fresh / name, body)
        ran = job.read(fresh)
        if ran.key != one.key:
            files.write(fresh / job.RECORD, job.record_text(one, "failed", CHANGED, ran.seconds))
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        fresh.rename(folder)
    return job.read(folder)
