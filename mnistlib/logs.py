"""The library's log: progress, for whoever listens; silent unless `to_stdout` was called."""

from __future__ import annotations

import logging
import sys

log = logging.getLogger("mnistlib")


class _Stdout(logging.StreamHandler):
    """Write to whatever is standard output at that moment: a notebook and a log may replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)


def to_stdout() -> None:
    """Send the log to standard output, as plain messages, each flushed; a second call changes nothing."""
    if not any(isinstance(handler, _Stdout) for handler in log.handlers):
        log.addHandler(_Stdout())
    log.setLevel(logging.INFO)
