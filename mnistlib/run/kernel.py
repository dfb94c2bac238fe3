"""The kernel that a notebook runs in: this very Python, alone in its folder, and gone with all that it started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from typing import Any

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec


class Kernel(AsyncKernelManager):
    """This Python's kernel, reached through sockets in a private folder.

    A kernel called python3 that some other environment installed for the user is never taken for it, and kernels that start at
    the same time cannot take each other's ports.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = tempfile.mkdtemp(prefix="mnistlib-")
        self.transport, self.ip = "ipc", os.path.join(self.folder, "kernel")
        self.group = 0

    @property
    def kernel_spec(self) -> KernelSpec:
        """Return how the kernel is started."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python", env={"PYDEVD_DISABLE_FILE_VALIDATION": "1"})

    async def start_kernel(self, **kwargs: Any) -> None:
        """Start the kernel and remember its process group."""
        await super().start_kernel(**kwargs)
        pid = getattr(self.provisioner, "pid", 0)
        with contextlib.suppress(ProcessLookupError):
            self.group = os.getpgid(pid) if pid else 0

    async def cleanup_resources(self, restart: bool = False) -> None:
        """End what the kernel left running, and remove its sockets."""
        if self.group and self.group != os.getpgrp():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, signal.SIGKILL)
        self.group = 0
        await super().cleanup_resources(restart=restart)
        shutil.rmtree(self.folder, ignore_errors=True)
