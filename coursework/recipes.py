"""The recipe that a net is trained with: the series', changed by what RECIPE in its file says."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass, replace
from typing import Any

from mnistlib import recipe_dict, steps
from mnistlib.errors import SettingError
from mnistlib.recipe import Recipe

STAND_IN = "softmax"  # a net of the library's, where a process needs one for its recipe: it never builds the submission's
SERIES = "03_augment"  # whose recipe trains a net without one of its own


def plain(value: Any) -> dict[str, Any]:
    """Return RECIPE as fields with other values, nested ones with a dot; raise SettingError for what is neither a Recipe nor a dict.

    A Recipe gives all its fields. Of a dict, fields that it does not name stay the series'.
    """
    if type(value) is Recipe:
        return asdict(value)
    if not isinstance(value, Mapping):
        raise SettingError(f"RECIPE is of the type {type(value).__name__}; it must be a mnistlib.recipe.Recipe or a dict of its fields.")
    fields = dict(_flat(value))
    try:
        json.dumps(fields)
    except (TypeError, ValueError) as error:
        raise SettingError(f"RECIPE cannot be read: {error}.") from None
    return fields


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", asdict(inner) if is_dataclass(inner) and not isinstance(inner, type) else inner


def changed(fields: Mapping[str, Any] | None, overrides: Mapping[str, Any] | None = None, epochs: int | None = None) -> Recipe:
    """Return the series' recipe with other values of some fields; its net is a stand-in, since a submission's is built in the sandbox."""
    given = {**(fields or {}), **(overrides or {})}
    if any(str(name).partition(".")[0] == "class" for name in given):
        raise SettingError("Recipe has no field 'class'.")  # it would be imported here
    made = recipe_dict.with_overrides(steps.get(SERIES).recipe, {name: value for name, value in given.items() if name != "model"})
    return replace(made, model=STAND_IN, epochs=epochs or made.epochs)
