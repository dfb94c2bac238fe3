"""Ctrl-C and requests to end, answered so that nothing is left half done and no process behind."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from mnistlib.notebook.kernel import Kernel

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDING = ((0.0, signal.SIGINT), (3.0, signal.SIGINT), (7.0, signal.SIGKILL))  # seconds waited, and what the kernel is then sent


class Stopped(KeyboardInterrupt):
    """The run was stopped."""

    def __init__(self, number: int) -> None:
        super().__init__("Stopped; the same command goes on where it stopped.")
        self.code = 128 + number  # as a shell reports a process that a signal ended


class Halted(Exception):
    """No further cell is to be started."""


class Stopping:
    """What happens at a signal: as a context, it answers signals; `requested` is the first one's number, zero before.

    Elsewhere than in `deferred`, the first signal raises Stopped where it arrives. In there it interrupts the kernel, whose cell then
    fails in an orderly way: an exception thrown into a running event loop would come up again while that loop tidies up.
    """

    def __init__(self) -> None:
        self.requested = 0
        self.over: threading.Event | None = None  # inside `deferred`; set at its end

    def __enter__(self) -> Stopping:
        """Answer signals from here on; only the main thread can."""
        main = threading.current_thread() is threading.main_thread()
        self.before = {number: signal.signal(number, self._answer) for number in SIGNALS} if main else {}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave signals to whoever answered them before.

        A library that waits in C, as Ray does, ends with a KeyboardInterrupt of its own in place of Stopped; it is Stopped all the same.
        """
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.requested and kind is KeyboardInterrupt:
            raise Stopped(self.requested) from None

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Keep a signal's Stopped back until the kernel has ended, and raise it then, whatever the end looked like."""
        self.over = threading.Event()
        try:
            yield
        finally:
            self.over.set()
            self.over = None
            if self.requested:
                raise Stopped(self.requested) from None

    def halt(self) -> None:
        """Raise Halted after a signal."""
        if self.requested:
            raise Halted

    def _answer(self, number: int, frame: FrameType | None) -> None:
        """Answer a signal: the first as the class says, a further one by ending the kernel at once."""
        first, self.requested = not self.requested, self.requested or number
        if self.over is None:
            if first:
                raise Stopped(number)
        elif first:
            threading.Thread(target=_end, args=(self.over,), daemon=True).start()
        else:
            Kernel.send(signal.SIGKILL)


def _end(over: threading.Event) -> None:
    """Ask the kernel to end, in the end without asking."""
    for wait, number in ENDING:
        if over.wait(wait):
            return
        Kernel.send(number)
