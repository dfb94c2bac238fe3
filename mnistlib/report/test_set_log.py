"""Every evaluation on the test set: reports/test_looks.json, a signed list that only grows."""

from pathlib import Path
from typing import Any

from mnistlib import files
from mnistlib.errors import ResultError
from mnistlib.report.result import Result

SCHEMA = 1


def path() -> Path:
    """Return where the committed list is."""
    return files.root() / "reports" / "test_looks.json"


def read(path: Path) -> list[dict[str, Any]]:
    """Return every look so far, oldest first; none where there is no list yet. A list that was changed raises ResultError."""
    if not path.exists():
        return []
    value = files.read_signed(path)
    if value.get("schema") != SCHEMA or not isinstance(value.get("looks"), list):
        raise ResultError(f"{path.name} does not hold the looks at the test set; restore it.")
    return value["looks"]


def record(result: Result, path: Path) -> bool:
    """Append a full run on the test set, unless the list has it with the very same accuracies, and say whether it was appended."""
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
    files.write_signed(path, {"schema": SCHEMA, "looks": [*looks, look]})
    return True
