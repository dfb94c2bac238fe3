"""The library's log: progress, for whoever listens; silent unless it is sent somewhere."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from mnistlib import files

log = logging.getLogger("mnistlib")


class _Stdout(logging.StreamHandler):
    """Write to whatever is standard output at that moment: a notebook and a job replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message and flush it."""
        self.stream = sys.stdout
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Raise what logging would print, such as the error of a full disk."""
        raise


class _File(logging.Handler):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.folder = files.writable(path.parent)
        self.file = open(path, "wb", buffering=0)  # noqa: SIM115 closed by `to_file`

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message at once."""
        with files.writing(self.folder):
            self.file.write(f"{self.format(record)}\n".encode())


def to_stdout() -> None:
    """Send the log to standard output, as plain messages, each flushed; a second call changes nothing."""
    if not any(isinstance(handler, _Stdout) for handler in log.handlers):
        log.addHandler(_Stdout())
    log.setLevel(logging.INFO)


@contextlib.contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Write the log to a new file as well; raise DiskError when the disk is full."""
    handler, level = _File(path), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.file.close()
