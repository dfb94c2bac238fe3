"""The kernel that a notebook runs in: this Python, isolated from other kernels, and killed with all that it started."""

import contextlib
import gc
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
    """A kernel of this Python, connected through sockets in a private folder.

    So no other environment's kernel called python3 is started by mistake, and kernels that start together do not compete for ports.
    """

    running: ClassVar["Kernel | None"] = None  # a process runs one notebook at a time

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = tempfile.mkdtemp(prefix="mnistlib-")
        self.transport, self.ip = "ipc", os.path.join(self.folder, "kernel")
        self.stderr = Path(self.folder, "stderr")  # of the process itself, not of the notebook; shown if the kernel dies
        self.group = 0

    @property
    def kernel_spec(self) -> KernelSpec:
        """Return how the kernel is started."""
        as_here = f"--IPKernelApp.exec_lines=__import__('gc').set_threshold({gc.get_threshold()[0]})"
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", as_here]
        path = os.pathsep.join(filter(None, (HERE, os.environ.get("PYTHONPATH"))))  # the same mnistlib, also in a second checkout
        environment = {"PYTHONPATH": path, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        return KernelSpec(argv=command, display_name="Python 3", language="python", env=environment)

    async def start_kernel(self, **kwargs: Any) -> None:
        """Start the kernel and remember its process group."""
        with open(self.stderr, "wb") as file:
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
        """Kill what the kernel left running, and remove its sockets."""
        if not self.shutting_down and self.stderr.exists():
            sys.stderr.write(self.stderr.read_text(errors="replace"))
        if Kernel.running is self:
            Kernel.send(signal.SIGKILL)
            Kernel.running = None
        await super().cleanup_resources(restart=restart)
        shutil.rmtree(self.folder, ignore_errors=True)
