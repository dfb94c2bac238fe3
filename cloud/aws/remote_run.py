"""Run a job whose notebook and folder may be here or in S3: the command that every instance runs."""

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloud import job
from cloud.aws import client, s3
from mnistlib import files
from mnistlib.errors import SettingError
from mnistlib.notebook import runner


def run(notebook: str, parameters: Mapping[str, Any], out: str) -> str:
    """Run a notebook in a folder and return a sentence; a job that has succeeded there is not run again.

    A folder in S3 is kept in sync while the job runs, checkpoints included, so an interrupted job resumes from it.
    """
    with contextlib.ExitStack() as stack:
        if s3.SCHEME in (notebook[:5], out[:5]):
            stack.enter_context(client.aws_errors())
        folder, path = Path(out).expanduser().resolve(), None
        if out.startswith(s3.SCHEME):
            folder = stack.enter_context(s3.SyncedFolder(_remote(out), last=job.RECORD))
        if notebook.startswith(s3.SCHEME):
            place, _, name = notebook.rpartition("/")
            body = _remote(place).get(name) if name.endswith(".ipynb") else None
            if body is None:
                raise SettingError(f"There is no notebook at {notebook!r}.")
            path = files.write(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mnistlib-")), name), body)
        one = job.make(path or runner.find(notebook), parameters)
        if job.succeeded(one, folder):
            return f"This job has already succeeded; its results are in {out}."
        job.run(one, folder)
        return f"Done; the results are in {out}."


def _remote(url: str) -> s3.Folder:
    return s3.folder(client.session().client("s3"), url)
