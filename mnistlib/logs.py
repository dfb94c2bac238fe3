"""The library's log: progress, for whoever listens; silent unless it is sent somewhere."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from mnistlib import files

log = logging.getLogger("mnistlib")
log.setLevel(logging.INFO)


class _Raising(logging.Handler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        raise  # what logging would print, such as the error of a full disk


class _File(_Raising, logging.FileHandler): ...


class _Stdout(_Raising, logging.StreamHandler):
    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout  # as it is at that moment: a notebook and a job replace it
        super().emit(record)


def to_stdout() -> None:
    """Send the log to standard output, as plain messages, each flushed; a second call changes nothing."""
    if not any(isinstance(handler, _Stdout) for handler in log.handlers):
        log.addHandler(_Stdout())


@contextlib.contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Write the log to a new file as well; raise DiskError when the disk is full."""
    folder = files.writable(path.parent)
    with files.writing(folder), contextlib.closing(_File(path, "w", encoding="utf-8")) as handler:
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)
