"""A unit of work sent to another machine: what it needs there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mnistlib import files, sources
from mnistlib.errors import SettingError
from mnistlib.notebook import runner
from mnistlib.runs import provenance
from mnistlib.sweep.job import Job

PARAMETERS = "parameters.yaml"
SOURCES = ("mnistlib", "pyproject.toml", "README.md", "LICENSE", "NOTICE")  # what a wheel is built of


def project(units: Sequence[Job]) -> dict[str, bytes]:
    """Return what units need beside library and data, by path: notebooks, requirements, committed results, the commit's name."""
    held = {f"notebooks/{one.notebook.name}": one.notebook.read_bytes() for one in units}
    root = files.root()
    for path in sorted((root / "reports").rglob("*")):
        if path.suffix in (".json", ".safetensors") and path.is_file():
            held[path.relative_to(root).as_posix()] = path.read_bytes()
    held["requirements.txt"] = (root / "requirements.txt").read_bytes()
    held[files.SENT] = files.canonical(provenance.revision(root))
    return held


def data(units: Sequence[Job]) -> dict[str, bytes]:
    """Return the verified files of the data that units use, each by its sha256; none where all use the offline sample.

    Raises what reading the data raises, and SettingError where runs name different folders: before anything is started.
    """
    used = [given for given in map(_effective, units) if given.get("dataset", "digits") != "digits"]
    folders = {str(given["data_dir"]) if given.get("data_dir") else None for given in used}
    if len(folders) > 1:
        raise SettingError("The runs name different folders as 'data_dir'; name one for all.")
    held: dict[str, bytes] = {}
    for folder in folders:
        for collection in (sources.MNIST, sources.QMNIST):
            try:
                contents, _ = sources.gather(collection, folder, lambda line: None)
            except sources.NotFound as error:
                if collection is sources.MNIST:
                    raise sources.NotFound(f"{error} Or run on the offline sample: -p dataset digits.") from None
                continue
            held |= {file.sha256: body for file, body in zip(collection.files, contents, strict=True)}
    return held


def _effective(one: Job) -> dict[str, Any]:
    """Return all parameters of a unit, its notebook's defaults included."""
    return runner.parameters_of(one.notebook) | dict(one.parameters)


def parameters(one: Job) -> bytes:
    """Return the parameters that go along with a unit, as YAML: all but the folder of the data, which is another one there."""
    return yaml.safe_dump({name: value for name, value in one.parameters.items() if name != "data_dir"}).encode()


def wheel(folder: Path) -> Path:
    """Build the library as a wheel in a folder and return its path; raise SettingError outside a clone."""
    root = files.root()
    if not all((root / name).exists() for name in SOURCES):
        raise SettingError(f"The library is sent as a wheel, which is built in a clone of the project; {str(root)!r} is none.")
    with tempfile.TemporaryDirectory(prefix="mnistlib-") as scratch:  # beside what an earlier build left, it would take that along
        for name in SOURCES:
            copy = shutil.copytree if (root / name).is_dir() else shutil.copy
            copy(
                root / name, Path(scratch) / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if copy is shutil.copytree else {})
            )
        build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder.resolve())!r})"
        fixed = os.environ | {"SOURCE_DATE_EPOCH": "1577836800"}  # the same library makes the same wheel
        done = subprocess.run([sys.executable, "-c", build], cwd=scratch, env=fixed, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SettingError(
            f"The library's wheel could not be built ({reason}); `python -m pip install -e '.[cloud]'` brings what it takes."
        )
    return next(folder.glob("mnistlib-*.whl"))
