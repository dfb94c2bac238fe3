"""The kernel that a notebook runs in: this very Python, alone in its folder, and gone with all that it started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

HERE = str(Path(__file__).resolve().parents[2])  # the folder that holds mnistlib


class Kernel(AsyncKernelManager):
    """This Python's kernel, reached through sockets in a private folder.

    A kernel called python3 that some other environment installed for the user is never taken for it, and kernels that start at
    the same time cannot take each other's ports.
    """

    running: ClassVar[Kernel | None] = None  # a process runs one notebook at a time

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = tempfile.mkdtemp(prefix="mnistlib-")
        self.transport, self.ip = "ipc", os.path.join(self.folder, "kernel")
        self.last_words = Path(self.folder, "stderr")
        self.group = 0

    @property
    def kernel_spec(self) -> KernelSpec:
        """Return how the kernel is started."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        path = os.pathsep.join(filter(None, (HERE, os.environ.get("PYTHONPATH"))))  # the same mnistlib, also in a second checkout
        environment = {"PYTHONPATH": path, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        return KernelSpec(argv=command, display_name="Python 3", language="python", env=environment)

    async def start_kernel(self, **kwargs: Any) -> None:
        """Start the kernel and remember its process group.

        What the process itself writes to its standard error, beside what a notebook does, is kept for the case that it dies.
        """
        with open(self.last_words, "wb") as file:
            await super().start_kernel(**kwargs | {"stderr": file})
        pid = getattr(self.provisioner, "pid", 0)
        with contextlib.suppress(ProcessLookupError):
            self.group = os.getpgid(pid) if pid else 0
        Kernel.running = self

    @classmethod
    def send(cls, number: int) -> None:
        """Send a signal to the running kernel and to all that it started."""
        if cls.running is not None and cls.running.group not in (0, os.getpgrp()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(cls.running.group, number)

    async def cleanup_resources(self, restart: bool = False) -> None:
        """End what the kernel left running, and remove its sockets."""
        if not self.shutting_down and self.last_words.exists():
            sys.stderr.write(self.last_words.read_text(errors="replace"))
        if Kernel.running is self:
            Kernel.send(signal.SIGKILL)
            Kernel.running = None
        await super().cleanup_resources(restart=restart)
        shutil.rmtree(self.folder, ignore_errors=True)
