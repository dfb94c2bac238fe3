"""What the benchmark is held to: each goal's value from the rows, and whether it was reached. Goals are fixed here, before a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.rivals import RIVALS
from benchmarks.rows import OURS, Row

LOWER = "at most"
HIGHER = "at least"


def judge(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return every goal whose rows were measured: row, name, goal, whether more or less is better, value, reached."""
    found = []
    for letter, name, goal, way, value in _goals(rows):
        if value is not None:
            good = value <= goal if way == LOWER else value >= goal
            found.append({"row": letter, "name": name, "goal": goal, "way": way, "value": value, "reached": bool(good)})
    return found


def _goals(rows: Sequence[Row]) -> Iterator[tuple[str, str, float, str, float | None]]:
    """Yield row, name, goal, direction and value of each goal; None where a row is missing."""
    at = {(row.row, row.what, row.who): row for row in rows}

    def ratio(letter: str, upper: tuple[str, str], lower: tuple[str, str]) -> float | None:
        pair = [at.get((letter, *key)) for key in (upper, lower)]
        return None if None in pair else pair[0].median / pair[1].median

    def worst(values: list[float | None]) -> float | None:
        return None if None in values else min(values)

    def seed(letter: str, what: str, who: str) -> float | None:
        """Return the seconds of a rival's seed as it comes, or in one thread beside another where that is quicker."""
        alone, both = at.get((letter, what, who)), at.get(("c", "two processes", who))
        return None if alone is None else min(alone.median, 7200 / both.median if both else alone.median)

    def times_less(letter: str, what: str, rivals: list[str]) -> float | None:
        ours, theirs = at.get((letter, what, OURS)), [seed(letter, what, who) for who in rivals]
        return None if ours is None or None in theirs else min(theirs) / ours.median

    target = "time to the target"
    quicker = times_less("a", "a seed, all epochs", [RIVALS["model4"].title])
    yield "a", "a seed takes so many times less than 000 Model 4's", 4, HIGHER, quicker
    yield "a", "the same, stretch", 6, HIGHER, quicker
    arrives = at.get(("b", target, OURS))
    sooner = times_less("b", target, [rival.title for rival in RIVALS.values()])
    sooner = sooner if arrives and arrives.about.get("reached") else None if arrives is None else 0.0  # no time counts unless it arrives
    yield "b", "the target is reached so many times sooner than the quicker rival's whole schedule", 5, HIGHER, sooner
    yield "b", "the same, stretch", 15, HIGHER, sooner
    more = worst([ratio("c", ("two workers", OURS), ("two processes", rival.title)) for rival in RIVALS.values()])
    yield "c", "two workers train so many times more seeds an hour than the better rival's two", 4, HIGHER, more
    yield "c", "the same, stretch", 6, HIGHER, more
    yield "c", "two workers train so many times more than one", 1.9, HIGHER, ratio("c", ("two workers", OURS), ("one worker", OURS))
    images = "the same warp"
    warps = worst([ratio("d", (images, OURS), (images, f"torchvision {version}")) for version in ("v1", "v2")])
    yield "d", "images are warped so many times faster than by the better torchvision", 5, HIGHER, warps
    step = at.get(("e", "as it is", OURS))
    yield "e", "a training step's share of the machine's matrix-product rate", 0.45, HIGHER, step.about["share"] if step else None
    added = at.get(("f", "what the notebook adds", OURS))
    yield "f", "seconds that a notebook adds", 10, LOWER, added.median if added else None
    for n, what, goal in ((1, "one seed, training on a GPU", 2), (32, "32 seeds, training on a GPU", 10)):
        row = at.get(("h", what, OURS))
        yield (
            "h",
            f"seconds of training on a GPU, {n} seeds" if n > 1 else "seconds of training on a GPU, one seed",
            goal,
            LOWER,
            row.median if row else None,
        )
    yield "i", "two nodes do so many times as many runs an hour as one", 1.6, HIGHER, ratio("i", ("two nodes", OURS), ("one node", OURS))
