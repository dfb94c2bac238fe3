"""The list of every look at the test set: reports/test_looks.json, which only grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mnistlib import files
from mnistlib.errors import ResultError
from mnistlib.report.result import Result


def path() -> Path:
    """Return where the committed list is."""
    return files.root() / "reports" / "test_looks.json"


def read(path: Path) -> list[dict[str, Any]]:
    """Return every look so far, oldest first; none where there is no list yet."""
    if not path.exists():
        return []
    try:
        looks = json.loads(path.read_bytes())
    except ValueError:
        looks = None
    if not isinstance(looks, list):
        raise ResultError(f"{path.name} is not the list of looks at the test set that it was; restore it, for it must only grow.")
    return looks


def record(result: Result, path: Path) -> bool:
    """Append a headline result as one line and say whether it was new.

    The same seeds of the same recipe with the very same accuracies are the same look, told again; any other run is
    another one, the unlucky ones too. A result that is no headline run is no look at the test set to be recorded here.
    """
    look = {
        "date": result.provenance["started"],
        "step": result.step,
        "recipe": result.keys["recipe"],
        "seeds": result.seeds,
        "final": [run.final for run in result.runs],
        "commit": result.provenance["commit"],
    }
    looks = read(path)
    same = ("step", "recipe", "seeds", "final")
    if not result.headline or any(all(old.get(name) == look[name] for name in same) for old in looks):
        return False
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in [*looks, look])
    files.write(path, f"[\n{lines}\n]\n")
    return True
