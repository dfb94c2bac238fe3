"""Units of work, a notebook with its parameters each, and the records of how they ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnistlib.errors import ResultError

RECORD, LOG, EPOCHS, TRIALS = "unit.json", "log.txt", "epochs.jsonl", "trials"  # in a unit's folder; the last while it trains
SCHEMA = 1


@dataclass(frozen=True)
class Unit:
    """A notebook and what it is given; `key` says which one it is, whatever the machine."""

    notebook: Path
    parameters: Mapping[str, Any]
    key: str

    @property
    def name(self) -> str:
        """Return the name of its folder: the notebook's, and the beginning of its key."""
        return f"{self.notebook.stem}-{self.key[:10]}"


@dataclass(frozen=True)
class Record:
    """How a unit ended."""

    key: str
    notebook: str
    parameters: dict[str, Any]  # those given
    status: str  # "succeeded" or "failed"
    reason: str  # a sentence where it failed, else ""
    seconds: float


@dataclass(frozen=True)
class Swept:
    """What became of a sweep's units, in their order."""

    folder: Path
    units: tuple[Unit, ...]
    records: tuple[Record | None, ...]  # None for one that has not ended

    @property
    def failed(self) -> list[tuple[Unit, Record]]:
        """Return the units that ended in failure, and how."""
        return [(one, record) for one, record in zip(self.units, self.records, strict=True) if record and record.status == "failed"]

    @property
    def succeeded(self) -> int:
        """Return how many units have succeeded."""
        return sum(record is not None and record.status == "succeeded" for record in self.records)


def finished(unit: Unit, folder: Path) -> bool:
    """Say whether this very unit has succeeded in a folder."""
    try:
        record = read(folder)
    except ResultError:
        return False
    return record.key == unit.key and record.status == "succeeded"


def read(folder: Path) -> Record:
    """Return the record in a unit's folder; raise ResultError where there is none or it cannot be read."""
    try:
        value = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if value.pop("schema") != SCHEMA:
            raise ValueError("another schema")
        return Record(**value)
    except FileNotFoundError:
        raise ResultError(f"There is no {RECORD} in {str(folder)!r}: nothing ran to its end there.") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResultError(f"{str(folder / RECORD)!r} cannot be read ({error}).") from None


def recorded(one: Unit, status: str, reason: str, seconds: float) -> bytes:
    """Return the text of a record."""
    told = Record(one.key, one.notebook.name, dict(one.parameters), status, reason, round(seconds, 1))
    return json.dumps({"schema": SCHEMA, **asdict(told)}, indent=1, ensure_ascii=False).encode()
