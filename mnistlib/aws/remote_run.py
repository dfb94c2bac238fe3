"""A unit of work by its addresses: notebook and folder may be here or in S3. This is what runs on every machine but one's own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mnistlib import files
from mnistlib.aws import client, s3
from mnistlib.errors import SettingError
from mnistlib.notebook import runner
from mnistlib.sweep import job

SCHEME = "s3://"


def run(notebook: str, parameters: Mapping[str, Any], out: str, show: Callable[[str], Any] = lambda line: print(line, flush=True)) -> str:
    """Run a notebook in a folder, both here or in S3, and return a sentence; one that has run to its end there is not run again.

    A folder in S3 follows what the run leaves while it runs, its unfinished training included, and one that was cut short goes on from
    that.
    """
    with _folder(out) as folder, _notebook(notebook) as path:
        one = job.make(path, parameters)
        if job.succeeded(one, folder):
            return f"This very run has succeeded already; it is in {out}."
        job.run(one, folder, show)
        return f"Done; it is in {out}."


@contextlib.contextmanager
def _folder(out: str) -> Iterator[Path]:
    """Give a folder here that is, or becomes, the one at an address."""
    if not out.startswith(SCHEME):
        yield Path(out).expanduser().resolve()
        return
    with client.refusals(), s3.Mirror(s3.Address.of(out)) as folder:
        yield folder


@contextlib.contextmanager
def _notebook(name: str) -> Iterator[Path]:
    """Give the path of a notebook, brought from S3 where its address is there."""
    if not name.startswith(SCHEME):
        yield runner.find(name)
        return
    with client.refusals(), tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:
        at = s3.Address.of(name)
        story = s3.get(at)
        if story is None or not at.key.endswith(".ipynb"):
            raise SettingError(f"There is no notebook at {name!r}.")
        yield files.write(Path(scratch) / at.key.rpartition("/")[2], story)
