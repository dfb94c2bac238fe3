"""What a page says of one result: its figures as text, in the order of the table's columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from mnistlib import formatting, written
from mnistlib.recipe import Recipe
from mnistlib.report.result import Result
from mnistlib.stats.summary import Verdict


@dataclass(frozen=True)
class Badge:
    """A verdict as one coloured word: `kind` is its class, `text` what it says."""

    kind: str
    text: str


@dataclass(frozen=True)
class Row:
    """One line of the table of results, every cell a text; a field's name is its column's."""

    step: str
    title: str
    change: str
    parameters: str
    macs: str
    field: str
    mean: str
    interval: str
    minimum: str
    passing: str
    held: str
    seconds: str
    verdict: str
    badges: tuple[Badge, ...]


LEVEL = 0.95  # of the intervals
COLUMNS = {
    "change": "Change",
    "mean": "Accuracy",
    "interval": "Interval",
    "minimum": "Minimum",
    "passing": "Seeds passing",
    "held": "Held",
    "verdict": "Target",
    "parameters": "Parameters",
    "macs": "MACs",
    "field": "Receptive field",
    "seconds": "Time per seed",
}


def row(result: Result, before: Result | None = None) -> Row:
    """Return a result's line; `before` is the result of the step that it changes."""
    summary = result.summary
    per_seed = [sum(run.seconds) for run in result.runs]
    return Row(
        step=result.step,
        title=result.title,
        change=change(result.recipe, before.recipe if before else None),
        parameters=formatting.count(result.n_parameters),
        macs=formatting.millions(result.n_macs),
        field=f"{formatting.count(result.receptive_field)} px",
        mean=formatting.mean_sd(summary.final_mean, summary.final_sd),
        interval=formatting.interval(summary.interval),
        minimum=formatting.percent(summary.final_min),
        passing=formatting.of(summary.n_pass, summary.n_seeds),
        held=formatting.of(summary.n_held, summary.n_seeds),
        seconds=formatting.seconds(sum(per_seed) / len(per_seed)),
        verdict=", ".join(badge.text for badge in badges(result.verdict)) or "none",
        badges=badges(result.verdict),
    )


def rows(results: list[Result]) -> list[Row]:
    """Return the lines of a series in order, each with its change from the line before."""
    return [row(result, before) for result, before in zip(results, [None, *results], strict=False)]


def badges(verdict: Verdict | None) -> tuple[Badge, ...]:
    """Return the words of a verdict: the accuracy's, then every limit that is broken; none without a verdict."""
    if verdict is None:
        return ()
    broken = [Badge("broken", f"{limit} broken") for limit in ("parameters", "epochs") if getattr(verdict, limit) == "broken"]
    return (Badge(verdict.accuracy, verdict.accuracy), *broken)


def change(recipe: Recipe, before: Recipe | None) -> str:
    """Return what one recipe changes in another, as a short text: "dropout 0.05 (was 0)"."""
    if before is None:
        return "the starting point"
    return ", ".join(_changes(recipe, before)) or "nothing"


def _changes(recipe: Recipe, before: Recipe) -> Iterator[str]:
    """Yield the differing fields of two recipes, those inside a part after the part's name."""
    for field in fields(recipe):
        value, old, words = getattr(recipe, field.name), getattr(before, field.name), field.name.replace("_", " ")
        if value == old:
            continue
        if is_dataclass(value):
            yield f"{words}: {', '.join(_inner(value, old)) or 'defaults'}"
        elif isinstance(value, tuple):
            yield f"{words}: {', then '.join(map(written.kind, value))}"
        elif value is None:
            yield f"no {words}"
        else:
            yield f"{words} {formatting.number(value)} (was {formatting.number(old)})"


def _inner(part: Any, old: Any) -> Iterator[str]:
    """Yield the settings in which a part differs from an old one of its kind; without one, from its kind's own defaults."""
    same = type(old) is type(part)
    if kind := "" if same else written.kind(part):
        yield kind
    for field in fields(part):
        value = getattr(part, field.name)
        if value != (getattr(old, field.name) if same else field.default):
            yield f"{field.name.replace('_', ' ')} {formatting.number(value)}"
