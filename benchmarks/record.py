"""The record of the benchmark: one row per measurement, kept in reports/benchmarks.json."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

THIS_SERIES = "this series"


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


def make(measured: Sequence[Row], goals: Iterable[dict[str, Any]], provenance: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a whole run."""
    return {"schema": 2, "rows": [row.to_json() for row in measured], "goals": list(goals), "provenance": provenance}


def merge(record: dict[str, Any], measured: Sequence[Row], provenance: dict[str, Any]) -> list[Row]:
    """Put newly measured tables in the place of the old ones, note when and where in `later`, and return all rows."""
    new = {row.table for row in measured}
    merged = [row for row in rows(record) if row.table not in new] + list(measured)
    record["rows"] = [row.to_json() for row in merged]
    if new:
        record["later"] = record.get("later", {}) | dict.fromkeys(sorted(new), provenance)
    return merged
