"""Ctrl-C and SIGTERM: a stopped run leaves nothing half written and no process behind."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDING = ((0.0, signal.SIGINT), (3.0, signal.SIGINT), (7.0, signal.SIGKILL))  # seconds to wait, then the signal sent to the kernel
AGAIN = 0.05  # seconds until a Stopped that was lost is raised again


class Stopped(KeyboardInterrupt):
    """The run was stopped by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__("Stopped. Interrupted runs resume where they stopped: give the same command again.")
        self.code = 128 + number  # the exit code that a shell reports for a process that a signal ended


class Stopping:
    """A context that answers signals; `requested` is the number of the first one, zero before.

    The first signal raises Stopped where it arrives, or, inside `deferred`, interrupts the kernel and raises Stopped once that has ended:
    an exception thrown into a running event loop would come up again while the loop is closed. Python drops an exception that is raised
    inside a destructor or a weakref callback; such a Stopped is raised again a moment later, and by the end of the context at the latest.
    """

    def __init__(self) -> None:
        self.requested = 0
        self.lost = False  # whether the next signal only repeats one whose Stopped was dropped
        self.repeat: threading.Timer | None = None
        self.over: threading.Event | None = None  # inside `deferred`; set at its end

    def __enter__(self) -> Self:
        """Answer signals from here on; only the main thread can."""
        main = threading.current_thread() is threading.main_thread()
        self.handlers = {number: signal.signal(number, self._answer) for number in SIGNALS} if main else {}
        self.hook, sys.unraisablehook = sys.unraisablehook, self._dropped
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave signals to whoever answered them before, and see that a stopped run ends as Stopped.

        A library that waits in C, as Ray does, ends with a KeyboardInterrupt of its own in its place.
        """
        if self.repeat is not None:
            self.repeat.cancel()
            self.repeat.join()
        sys.unraisablehook = self.hook
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if self.requested and kind in (None, KeyboardInterrupt):
            raise Stopped(self.requested) from None

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Keep Stopped back until the kernel has ended, and raise it then, whatever else went wrong."""
        self.over = threading.Event()
        try:
            yield
        finally:
            self.over.set()
            self.over = None
            if self.requested:
                raise Stopped(self.requested) from None

    def check(self) -> None:
        """Let no further cell begin after a signal; inside `deferred` the error becomes Stopped."""
        if self.requested:
            raise RuntimeError("stopped")

    def _answer(self, number: int, frame: FrameType | None) -> None:
        """Answer a signal: the first as the class says, a further one by killing the kernel."""
        first, self.requested = not self.requested, self.requested or number
        if self.over is None:
            if first or self.lost:
                self.lost = False
                raise Stopped(self.requested)
        elif first:
            threading.Thread(target=_end, args=(self.over,), daemon=True).start()
        else:
            _send(signal.SIGKILL)

    def _dropped(self, dropped: Any) -> None:
        """Arrange that a dropped Stopped is raised again; other dropped exceptions are reported as before."""
        if not isinstance(dropped.exc_value, Stopped):
            self.hook(dropped)
            return
        self.lost = True
        self.repeat = threading.Timer(AGAIN, signal.pthread_kill, (threading.main_thread().ident, self.requested))
        self.repeat.start()


def _end(over: threading.Event) -> None:
    for wait, number in ENDING:
        if over.wait(wait):
            return
        _send(number)


def _send(number: int) -> None:
    from mnistlib.notebook.kernel import Kernel  # here, so that a command without a kernel starts quickly

    Kernel.send(number)
