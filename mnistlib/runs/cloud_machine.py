"""The machine in a cloud that a run has, as its environment tells: which one it is, for how long, and what that costs."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MACHINE = "MNISTLIB_MACHINE"  # names, in the environment, the machine: a JSON object with the keys of FACTS
LOG = "MNISTLIB_LOG"  # and the file that keeps what the run prints
FACTS = ("service", "id", "type", "region", "image", "since", "price")  # `since` in seconds since the epoch, `price` in dollars an hour
TAIL = 20  # lines of the log that a page shows


def told(now: float) -> dict[str, Any]:
    """Return what a provenance says of the machine at a time, in seconds since the epoch; nothing outside a cloud.

    `cost` is in US dollars, from `since` to `now` at the price an hour; None where the price is not known. Of spare capacity, whose
    price moves, it is `cost_at_most`.
    """
    if not os.environ.get(MACHINE):
        return {}
    facts = dict.fromkeys(FACTS) | json.loads(os.environ[MACHINE])
    since, price = float(facts.pop("since") or now), facts.pop("price")
    cost = None if price is None else float(price) * (now - since) / 3600
    times = {"machine_started": _time(since), "machine_until": _time(now), "machine_seconds": round(now - since, 1)}
    return {**facts, **times, "cost_at_most" if "spot" in str(facts["service"]) else "cost": cost}


def tail() -> list[str]:
    """Return the last lines of what the run has printed so far; none where no log is kept."""
    path = Path(os.environ.get(LOG, ""))
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return [line for line in lines if line.strip()][-TAIL:]


def _time(seconds: float) -> str:
    """Return a time as provenances write it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
