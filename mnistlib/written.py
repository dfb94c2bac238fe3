"""Recipes as plain values, for keys and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from mnistlib.errors import SettingError, nearest
from mnistlib.published import schedulers, transforms
from mnistlib.recipe import Augment, Optimizer, Recipe, Schedule, Steering

_LATER = {"steering": None, "kind": "sgd", "decays": "kernels"}  # fields younger than the first results, and what these mean by them


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values; a field that came later is left out where it changes nothing, so that older keys stay valid."""
    value = asdict(recipe)
    for part in (value, value["optimizer"]):
        for name, nothing in _LATER.items():
            if name in part and part[name] == nothing:
                del part[name]
    return value


def from_dict(value: dict[str, Any]) -> Recipe:
    """Return the recipe that `as_dict` turned into a dictionary; an unknown field raises SettingError."""
    value = dict(value)
    for name, kind, kinds in (
        ("optimizer", Optimizer, {}),
        ("schedule", Schedule, schedulers.KINDS),
        ("augment", Augment, {}),
        ("steering", Steering, {}),
    ):
        if isinstance(value.get(name), dict):
            value[name] = _build(_kind(name, value[name], kinds) if kinds and "kind" in value[name] else kind, value[name])
    if isinstance(value.get("augment"), list | tuple):
        value["augment"] = tuple(_build(_kind("transform", one, transforms.KINDS), one) for one in value["augment"])
    return _build(Recipe, value)


def changed(recipe: Recipe, fields: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values of some fields, those of its parts with a dot: `{"lr": …}` is none, `{"optimizer.lr": …}` one.

    Raises SettingError for a field that there is not, or a value that it may not have.
    """
    value = as_dict(recipe)
    for name, new in fields.items():
        *parts, last = name.split(".")
        inner = value
        for part in parts:
            inner[part] = inner.get(part) or {}  # a part that the recipe does without begins with its defaults
            inner = inner[part]
            if not isinstance(inner, dict):
                raise SettingError(f"The recipe has no field {name!r}: {part} has no fields of its own here.")
        inner[last] = new
    return from_dict(value) if fields else recipe


def flat(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """Yield every field of a recipe and its value, those of its parts with a dot."""
    for name, value in as_dict(recipe).items():
        yield from ((f"{name}.{inner}", one) for inner, one in value.items()) if isinstance(value, dict) else [(name, value)]


def _kind(what: str, value: Any, kinds: Mapping[str, type[Any]]) -> type[Any]:
    """Return the type of what names its kind, or raise SettingError for a kind that there is not."""
    if not isinstance(value, dict) or value.get("kind") not in kinds:
        named = value.get("kind") if isinstance(value, dict) else value
        raise SettingError(f"There is no {what} {named!r}; the kinds are {', '.join(kinds)}.{nearest(named, kinds)}")
    return kinds[value["kind"]]


def _build(kind: Callable[..., Any], value: dict[str, Any]) -> Any:
    """Make a dataclass of a dictionary, naming the first unknown field."""
    allowed = [field.name for field in fields(kind)]
    for name in value:
        if name not in allowed:
            raise SettingError(f"{kind.__name__} has no field {name!r}; its fields are {', '.join(allowed)}.{nearest(name, allowed)}")
    given = {field.name for field in fields(kind) if field.init}
    return kind(**{name: tuple(one) if isinstance(one, list) else one for name, one in value.items() if name in given})


def kind(part: Any) -> str:
    """Return the kind of a schedule or transform that says one: "one cycle"; "" for the other parts of a recipe."""
    return part.kind if any(field.name == "kind" and not field.init for field in fields(part)) else ""
