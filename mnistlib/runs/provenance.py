"""Where a run comes from: versions, commit, device, time and cloud instance; never who ran it, on which host or in which folder."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mnistlib import files
from mnistlib.runs import device as device_module

PACKAGES = ("torchvision", "numpy", "papermill")
INSTANCE = "MNISTLIB_INSTANCE"  # cloud instance metadata, read from the environment: a JSON object with these keys
FACTS = ("service", "id", "type", "region", "image", "since", "price")  # `since` in seconds since the epoch, `price` in dollars an hour
DIFFER = ("python", "torch", "commit", "cpu", "instructions", "gpu")  # the runs of one result may differ in these
GENERATED = ("reports", "images", "README.md", "docs/replication.md")  # a series writes these as it goes; they change no result


def collect(started: float, seconds: float, device: str, workers: int = 1, threads: int = 1) -> dict[str, Any]:
    """Return the provenance of a run that began at `started` (seconds since the epoch, as `time.time()` has it) and took `seconds`.

    `device` is "cpu", "cuda" or "mps", `workers` the processes that trained side by side, `threads` those of each.
    """
    commit, changed = revision(files.root())
    return {
        "started": _time(started),
        "seconds": round(seconds, 1),
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # with its build, such as +cpu, which the package's metadata leaves out
        **{name: version(name) for name in PACKAGES},
        "commit": commit,
        "changed": changed,  # whether tracked files differed from the commit
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "cpu": cpu(),
        "cores": device_module.n_cores(),
        "workers": workers,
        "threads": threads,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if device.startswith("cuda") and torch.cuda.is_available() else None,
    }


def combine(runs: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Return the provenance of several runs that took `seconds` together: that of the first to begin, with all values that differ."""
    runs = sorted(runs, key=lambda run: run["started"])
    values = {name: dict.fromkeys(part for run in runs if run.get(name) for part in run[name].split(", ")) for name in DIFFER}
    changed = {"changed": any(run["changed"] for run in runs) or runs[0]["changed"]} if "changed" in runs[0] else {}
    return {**runs[0], **{name: ", ".join(parts) for name, parts in values.items() if parts}, **changed, "seconds": round(seconds, 1)}


def instance(now: float) -> dict[str, Any]:
    """Return what a provenance says of the machine at a time, in seconds since the epoch; nothing outside a cloud.

    `cost` is in US dollars, from `since` to `now` at the price an hour; None where the price is not known. Of spare capacity, whose
    price moves, it is `cost_at_most`.
    """
    if not os.environ.get(INSTANCE):
        return {}
    facts = dict.fromkeys(FACTS) | json.loads(os.environ[INSTANCE])
    since, price = float(facts.pop("since") or now), facts.pop("price")
    cost = None if price is None else float(price) * (now - since) / 3600
    times = {"machine_started": _time(since), "machine_until": _time(now), "machine_seconds": round(now - since, 1)}
    return {**facts, **times, "cost_at_most" if "spot" in str(facts["service"]) else "cost": cost}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def version(package: str) -> str | None:
    """Return an installed package's version without importing it; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def revision(folder: Path) -> tuple[str | None, bool | None]:
    """Return the git commit of a repository and whether its tracked files differ from it; two Nones outside git.

    A project that was sent somewhere without its repository says so in a file.
    """
    if (folder / files.SENT).is_file():
        commit, changed = json.loads((folder / files.SENT).read_text())
        return commit, changed
    top = _output("git", "-C", str(folder), "rev-parse", "--show-toplevel")
    commit = _output("git", "-C", str(folder), "rev-parse", "--verify", "--quiet", "HEAD")
    if not top or not commit or Path(top).resolve() != folder.resolve():  # a repository around this one would name its own commit
        return None, None
    skipped = [f":(exclude){name}" for name in GENERATED]
    changes = _output("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no", "--", ".", *skipped)
    return commit, None if changes is None else bool(changes)


def cpu() -> str | None:
    """Return the CPU's model as the system names it; None where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
