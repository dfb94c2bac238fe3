"""The record of the benchmark: one row per measurement, kept in reports/benchmarks.json."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mnistlib import files
from mnistlib.errors import ResultError

THIS_SERIES = "this series"
EMPTY = {"schema": 3, "rows": [], "goals": [], "provenance": {}}  # provenance: by table, when and where it was measured


@dataclass(frozen=True)
class Row:
    """One measurement, repeated over some rounds."""

    table: str  # "seed", "target", "throughput", "augmentation", "step", "notebook", "scaling", "gpu" or "sweep"
    case: str
    method: str  # this series, or what it is compared with
    unit: str
    values: tuple[float, ...]  # one per round
    parts: dict[str, float] = field(default_factory=dict)  # of the median, by name, in the same unit
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, Any]:
        """Return the row with its median and range."""
        return asdict(self) | {"median": self.median, "low": min(self.values), "high": max(self.values)}


def from_json(value: dict[str, Any]) -> Row:
    """Return the row that `to_json` turned into a dictionary."""
    fields = {name: value[name] for name in ("table", "case", "method", "unit", "parts", "about")}
    return Row(**fields, values=tuple(value["values"]))


def rows(record: dict[str, Any], table: str = "") -> list[Row]:
    """Return the rows of a record, or those of one of its tables."""
    return [from_json(value) for value in record["rows"] if table in ("", value["table"])]


def read(path: Path) -> dict[str, Any]:
    """Return the record at a path; raise ResultError where it cannot be read, was changed, or is of another version of the benchmark."""
    value = files.read_signed(path)
    if value.get("schema") != EMPTY["schema"]:
        raise ResultError(f"{path.name} is of another version of the benchmark; delete it, and measure again with `make bench`.")
    return value


def update(record: dict[str, Any], measured: Sequence[Row], provenance: dict[str, Any]) -> dict[str, Any]:
    """Return a record with newly measured tables in the place of its old ones, and where they come from; its goals are as before."""
    new = {row.table for row in measured}
    kept = [row for row in rows(record) if row.table not in new]
    about = record["provenance"] | dict.fromkeys(sorted(new), provenance)
    return record | {"rows": [row.to_json() for row in (*kept, *measured)], "provenance": about}
