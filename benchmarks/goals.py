"""The goals of the benchmark, fixed before a run: the value of each, computed from the rows, and whether it was reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.baselines import BASELINES
from benchmarks.record import THIS_SERIES, Row

AT_MOST = "at most"
AT_LEAST = "at least"
TITLES = [baseline.title for baseline in BASELINES.values()]
MODEL_4 = BASELINES["model4"].title

Rows = Mapping[tuple[str, str, str], Row]  # by table, case and method


def check(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return every goal whose rows were measured: table, name, goal, direction, value, reached."""
    found = []
    for table, name, goal, direction, value in _goals({(row.table, row.case, row.method): row for row in rows}):
        if value is not None:
            reached = value <= goal if direction == AT_MOST else value >= goal
            found.append({"table": table, "name": name, "goal": goal, "direction": direction, "value": value, "reached": bool(reached)})
    return found


def _goals(rows: Rows) -> Iterator[tuple[str, str, float, str, float | None]]:
    """Yield table, name, goal, direction and value of each goal; the value is None where a row is missing."""
    faster = _speed_up(rows, "seed", "one seed, all epochs", [MODEL_4])
    yield "seed", f"One seed: speed-up over {MODEL_4}", 4, AT_LEAST, faster
    yield "seed", f"One seed: speed-up over {MODEL_4} (stretch)", 6, AT_LEAST, faster
    ours = rows.get(("target", "time to the target", THIS_SERIES))
    sooner = _speed_up(rows, "target", "time to the target", TITLES)
    sooner = sooner if ours is None or ours.about["reached"] else 0.0  # a time counts only where the target is reached
    yield "target", "Time to the target: speed-up over the quicker baseline's whole schedule", 25, AT_LEAST, sooner
    pairs = [_ratio(rows, "throughput", ("two workers", THIS_SERIES), ("two processes", title)) for title in TITLES]
    yield "throughput", "Seeds per hour, two workers: times the better baseline's two processes", 4, AT_LEAST, _smallest(pairs)
    yield "throughput", "Seeds per hour, two workers: times the better baseline (stretch)", 6, AT_LEAST, _smallest(pairs)
    workers = _ratio(rows, "throughput", ("two workers", THIS_SERIES), ("one worker", THIS_SERIES))
    yield "throughput", "Seeds per hour: two workers, times one worker", 1.9, AT_LEAST, workers
    warp = "the same affine warp"
    versions = [_ratio(rows, "augmentation", (warp, THIS_SERIES), (warp, f"torchvision {version}")) for version in ("v1", "v2")]
    yield "augmentation", "Images warped per second: times the faster torchvision", 5, AT_LEAST, _smallest(versions)
    step = rows.get(("step", "as it is", THIS_SERIES))
    yield "step", "Training step: efficiency, relative to a matrix product", 0.5, AT_LEAST, step.about["efficiency"] if step else None
    added = rows.get(("notebook", "overhead of the notebook", THIS_SERIES))
    yield "notebook", "Overhead of a notebook, seconds", 5, AT_MOST, added.median if added else None
    for case, goal in (("one seed", 2), ("32 seeds", 10)):
        row = rows.get(("gpu", case, THIS_SERIES))
        yield "gpu", f"Training on a GPU, {case}, seconds", goal, AT_MOST, row.median if row else None
    nodes = _ratio(rows, "sweep", ("two nodes", THIS_SERIES), ("one node", THIS_SERIES))
    yield "sweep", "Runs per hour in a sweep: two nodes, times one node", 1.6, AT_LEAST, nodes


def _ratio(rows: Rows, table: str, upper: tuple[str, str], lower: tuple[str, str]) -> float | None:
    """Return the ratio of two medians, None where one is missing."""
    above, below = rows.get((table, *upper)), rows.get((table, *lower))
    return None if above is None or below is None else above.median / below.median


def _speed_up(rows: Rows, table: str, case: str, titles: Sequence[str]) -> float | None:
    """Return how many times sooner this series ends than the quickest of some baselines."""
    ours, theirs = rows.get((table, case, THIS_SERIES)), [_seconds(rows, table, case, title) for title in titles]
    return None if ours is None or None in theirs else min(theirs) / ours.median


def _seconds(rows: Rows, table: str, case: str, title: str) -> float | None:
    """Return the seconds of a baseline's seed: alone with all threads, or as one of two single-threaded processes if that is quicker."""
    alone, both = rows.get((table, case, title)), rows.get(("throughput", "two processes", title))
    if alone is None:
        return None
    return min(alone.median, 7200 / both.median) if both else alone.median


def _smallest(values: Sequence[float | None]) -> float | None:
    """Return the smallest value, None where one is missing."""
    return None if None in values else min(values)
