"""What a job needs on another machine."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from cloud.job import LIBRARY, Job
from mnistlib import files
from mnistlib.errors import SettingError
from mnistlib.runs import provenance

PARAMETERS = "parameters.yaml"
PACKAGES = (*LIBRARY, "cloud")  # what travels
SOURCES = (*PACKAGES, "pyproject.toml", "README.md", "LICENSE", "NOTICE")  # what a wheel is built of


def project(jobs: Sequence[Job]) -> dict[str, bytes]:
    """Return what jobs need beside the library, by path: notebooks, requirements, committed results, the commit's name."""
    root = files.root()
    found = [path for path in sorted((root / "reports").rglob("*")) if path.suffix in (".json", ".npz")]
    paths = [path for path in (*found, root / "requirements.txt") if path.is_file()]
    sent = {f"notebooks/{one.notebook.name}": one.notebook.read_bytes() for one in jobs}
    sent |= {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    return sent | {files.SENT: files.canonical(provenance.revision(root))}


def parameters(one: Job) -> bytes:
    """Return a job's parameters as YAML."""
    return yaml.safe_dump(dict(one.parameters)).encode()


def wheel(folder: Path) -> Path:
    """Build the library as a wheel in a folder and return its path; raise SettingError outside a clone."""
    root = files.root()
    if not all((root / name).exists() for name in SOURCES):
        raise SettingError(f"The library is sent as a wheel, which is built in a clone of the project; {str(root)!r} is not one.")
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:  # a copy, for setuptools would add what an earlier build left
        for name in PACKAGES:
            shutil.copytree(root / name, Path(scratch, name), ignore=shutil.ignore_patterns("__pycache__"))
        for name in SOURCES[len(PACKAGES) :]:
            shutil.copy(root / name, scratch)
        build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder.resolve())!r})"
        fixed = os.environ | {"SOURCE_DATE_EPOCH": "1577836800"}  # the same library makes the same wheel
        done = subprocess.run([sys.executable, "-c", build], cwd=scratch, env=fixed, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SettingError(f"The library's wheel could not be built ({reason}); install what it takes: python -m pip install -e '.[cloud]'")
    return next(folder.glob("*.whl"))
