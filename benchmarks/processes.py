"""Timed processes: started together, each prints one line of JSON at its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import clock
from mnistlib import files


def run(*modules: Sequence[str]) -> list[dict[str, Any]]:
    """Run `python -m MODULE ARGUMENTS...` for each, all at the same time, and return the JSON that each printed last."""
    started = []
    for module in modules:
        environment = os.environ | {clock.BEGAN: str(time.time())}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=files.root(),
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    ended = [process.communicate() for process in started]
    for process, module, (_, errors) in zip(started, modules, ended, strict=True):
        _check(process.returncode, ["-m", *module], errors)
    return [json.loads(printed.splitlines()[-1]) for printed, _ in ended]


def whole(*command: str) -> float:
    """Run a command of this Python and return the seconds that the whole process took."""
    began = time.time()
    done = subprocess.run([sys.executable, *command], cwd=files.root(), capture_output=True, text=True)
    _check(done.returncode, command, done.stderr or done.stdout)
    return time.time() - began


def _check(code: int, command: Sequence[str], output: str) -> None:
    """Stop the benchmark if one of its processes failed."""
    if code:
        raise SystemExit(f"python {' '.join(command)} ended with code {code}: {output.strip()[-500:]}")
