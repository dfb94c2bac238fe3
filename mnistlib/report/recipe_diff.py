"""What differs between two recipes, field by field and as a short text."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import groupby
from typing import Any

from mnistlib import formatting
from mnistlib.recipe import Augment, Optimizer, Recipe, Schedule

UNNAMED = (Optimizer, Schedule, Augment)  # their field says what they are; every other part is shown with its class


def changes(now: Any, before: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield name, value before and value now of every differing field, those of parts with a dot: `("optimizer.lr", 0.1, 0.05)`.

    A part that was not there before gives those of its fields that are not at their defaults, a schedule all, each with None before.
    """
    if now == before:
        return
    if is_dataclass(now) and (type(before) is type(now) or not name):
        for field in dict.fromkeys(field.name for recipe in (now, before) for field in fields(recipe)):
            yield from changes(getattr(now, field, None), getattr(before, field, None), f"{name}.{field}".lstrip("."))
    elif isinstance(now, UNNAMED) and before is None and (inner := vars(now) if isinstance(now, Schedule) else _not_default(now)):
        yield from ((f"{name}.{field}", None, value) for field, value in inner.items())
    else:
        yield name, before, now


def text(value: Any) -> str:
    """Return a field's value as a reader writes it; of an import path the name, of a part its fields that are not at their defaults."""
    if isinstance(value, tuple | list):
        return (", then " if any(map(is_dataclass, value)) else " to ").join(map(text, value)) or "none"
    if not is_dataclass(value):
        return value.rpartition(":")[2] if isinstance(value, str) else formatting.number(value)
    inner = ", ".join(f"{name} {text(one)}" for name, one in _not_default(value).items()) or "defaults"
    return inner if isinstance(value, UNNAMED) else f"{type(value).__name__} ({inner})"


def summary(now: Recipe, before: Recipe) -> str:
    """Return all that differs as one short text: "dropout 0.05 (was 0), augment: degrees 9, scale 0.1"; "nothing" where they are equal."""
    parts = groupby(changes(now, before), key=lambda change: change[0].partition(".")[0])
    return ", ".join(_part(name.replace("_", " "), list(found)) for name, found in parts) or "nothing"


def _part(words: str, found: list[tuple[str, Any, Any]]) -> str:
    name, before, now = found[0]
    if "." in name:
        return f"{words}: {', '.join(_now(field.partition('.')[2], old, new) for field, old, new in found)}"
    return f"no {words}" if now in (None, ()) else _now(words, before, now)


def _now(name: str, before: Any, now: Any) -> str:
    was = "" if before is None or is_dataclass(before) or isinstance(before, tuple) else f" (was {text(before)})"
    return f"{name.replace('_', ' ')} {text(now)}{was}"


def _not_default(part: Any) -> dict[str, Any]:
    return {field.name: value for field in fields(part) if field.init and (value := getattr(part, field.name)) != field.default}
