"""Rules for the fields of frozen values: each raises SettingError with a sentence that says what is allowed."""

from __future__ import annotations

import math

from mnistlib.errors import SettingError


def check(owner: object, name: str, allowed: bool, rule: str) -> None:
    """Raise SettingError unless a field keeps its rule."""
    if not allowed:
        raise SettingError(f"{type(owner).__name__}.{name} is {getattr(owner, name)!r}; it must be {rule}.")


def is_number(value: object, low: float, high: float) -> bool:
    """Say whether a value is a finite number within closed bounds; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high


def number(owner: object, name: str, low: float, high: float, unit: str = "") -> None:
    """Check that a field is a finite number within closed bounds."""
    check(owner, name, is_number(getattr(owner, name), low, high), f"a number from {low:g} to {high:g}{unit}")


def whole(owner: object, name: str, low: int, high: int) -> None:
    """Check that a field is a whole number within closed bounds."""
    value = getattr(owner, name)
    check(owner, name, isinstance(value, int) and is_number(value, low, high), f"a whole number from {low} to {high}")


def choice(owner: object, name: str, allowed: tuple[str, ...]) -> None:
    """Check that a field is one of a few words."""
    words = ", ".join(map(repr, allowed[:-1])) + f" or {allowed[-1]!r}" if len(allowed) > 1 else repr(allowed[0])
    check(owner, name, getattr(owner, name) in allowed, words)
