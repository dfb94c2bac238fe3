"""Run a job whose notebook and folder may be here or in S3: the command that every instance runs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mnistlib import files
from mnistlib.aws import client, s3
from mnistlib.errors import SettingError
from mnistlib.notebook import runner
from mnistlib.sweep import job


def run(notebook: str, parameters: Mapping[str, Any], out: str) -> str:
    """Run a notebook in a folder and return a sentence; a job that has succeeded there is not run again.

    A folder in S3 is kept in sync while the job runs, checkpoints included, so an interrupted job resumes from it.
    """
    with _folder(out) as folder, _notebook(notebook) as path:
        one = job.make(path, parameters)
        if job.succeeded(one, folder):
            return f"This job has already succeeded; its results are in {out}."
        job.run(one, folder)
        return f"Done; the results are in {out}."


@contextlib.contextmanager
def _folder(out: str) -> Iterator[Path]:
    """Give the local path of a folder, here or in S3."""
    if not out.startswith(s3.SCHEME):
        yield Path(out).expanduser().resolve()
        return
    with client.aws_errors(), s3.SyncedFolder(s3.folder(client.session().client("s3"), out), last=job.RECORD) as folder:
        yield folder


@contextlib.contextmanager
def _notebook(name: str) -> Iterator[Path]:
    """Give the local path of a notebook, here or in S3."""
    if not name.startswith(s3.SCHEME):
        yield runner.find(name)
        return
    with client.aws_errors(), tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:
        place, _, stem = name.rpartition("/")
        body = s3.folder(client.session().client("s3"), place).get(stem) if stem.endswith(".ipynb") else None
        if body is None:
            raise SettingError(f"There is no notebook at {name!r}.")
        yield files.write(Path(scratch) / stem, body)
