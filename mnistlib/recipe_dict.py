"""Recipes as plain values: for JSON, for overrides, for keys."""

import dataclasses
import json
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mnistlib import files
from mnistlib.errors import SettingError, sentence
from mnistlib.recipe import Recipe


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values, a subclass's with its import path under "class"."""
    kind = type(recipe)
    named = {} if kind is Recipe else {"class": f"{kind.__module__}:{kind.__qualname__}"}
    return named | dataclasses.asdict(recipe)


def from_dict(value: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `to_dict` turned into plain values; missing fields get their defaults, unknown ones raise SettingError."""
    kind: Any = Recipe
    try:
        kind = pkgutil.resolve_name(value["class"]) if "class" in value else Recipe
        if not issubclass(kind, Recipe):
            raise TypeError(f"its class {value['class']!r} is no kind of Recipe")
        text = json.dumps({name: inner for name, inner in value.items() if name != "class"})
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        raise SettingError(sentence(kind, error)) from None
    except (TypeError, ValueError, ImportError, AttributeError) as error:
        raise SettingError(f"The recipe cannot be read: {error}.") from None


def with_overrides(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values of some fields, nested ones with a dot: `{"optimizer.lr": 0.05, "epochs": 10}`."""
    value = to_dict(recipe)
    for name, new in overrides.items():
        *parts, last = str(name).split(".")
        inner = value
        for part in parts:
            inner[part] = inner.get(part) or {}  # a part that the recipe does without starts from its defaults
            inner = inner[part]
            if not isinstance(inner, dict):
                raise SettingError(f"The recipe has no field {name!r}: {part} has no fields of its own.")
        inner[last] = new
    return from_dict(value)


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of every field of a recipe, nested ones with a dot."""
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        yield from flatten(inner, f"{prefix}{field.name}.") if dataclasses.is_dataclass(inner) else [(prefix + field.name, inner)]


def digest(recipe: Recipe) -> str:
    """Return a recipe's sha256, taken over the values that differ from the defaults: a new field that changes nothing changes no digest."""
    return files.sha256(files.canonical(_changed(recipe)))


def _changed(value: Any) -> Any:
    """Return a recipe or a part of one as its class's name and the values that differ from the defaults of that class."""
    if isinstance(value, tuple):
        return [_changed(inner) for inner in value]
    if not dataclasses.is_dataclass(value):
        return value
    changed = {field.name: inner for field in dataclasses.fields(value) if (inner := getattr(value, field.name)) != field.default}
    return {"class": type(value).__name__} | {name: _changed(inner) for name, inner in changed.items()}
