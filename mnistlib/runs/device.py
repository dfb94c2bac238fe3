"""Devices and cores of this machine, and how a training process uses them best."""

import ctypes
import os

import torch

from mnistlib.errors import SettingError

KEPT = 1 << 30  # bytes that a process holds on to instead of handing them back to the system
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # glibc's names for them, from malloc.h


def available() -> list[str]:
    """Return the devices that this machine offers."""
    offered = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name, there in offered.items() if there]


def choose(name: str = "auto") -> str:
    """Return "cuda", "mps" or "cpu"; "auto" is CUDA where there is one, else the CPU, the faster one for nets this small."""
    offered = available()
    if name == "auto":
        return "cuda" if "cuda" in offered else "cpu"
    if name not in offered:
        raise SettingError(f"device is {name!r}, which this machine does not have; it has {', '.join(map(repr, offered))}.")
    return name


def n_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tune(threads: int = 1) -> None:
    """Make this process one that trains: so many threads, no denormal numbers, and memory kept for the next step.

    Each step asks for the same memory again. Left alone, glibc hands large blocks back to the system every time, which then clears
    every page of them anew.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # not glibc
    mallopt(MMAP_THRESHOLD, KEPT)
    mallopt(TRIM_THRESHOLD, KEPT)
