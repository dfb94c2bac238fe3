"""The project's own errors: one sentence each, shown without a traceback, those of pydantic included."""

import difflib
import functools
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass


class MnistlibError(Exception):
    """Say in one sentence what is wrong and what is allowed."""

    def _render_traceback_(self) -> list[str]:
        """Return the sentence alone: IPython, and so Jupyter and papermill, shows this instead of frames."""
        return [f"{type(self).__name__}: {self}"]


class SettingError(MnistlibError):
    """A setting, parameter or recipe field is unknown or out of range."""


class DataError(MnistlibError):
    """Data cannot be read or trusted."""


class ResultError(MnistlibError):
    """A stored result, checkpoint or training state cannot be read or trusted."""


class TrainingError(MnistlibError):
    """A training run could not go on."""


def nearest(name: object, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'epochs'?" for the allowed name closest to `name`, or "" when none is close."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def between(low: float, high: float) -> Any:
    """Return pydantic's annotation of a number within closed bounds."""
    return Field(ge=low, le=high)


def validated(cls: type) -> Any:
    """Make a class a frozen dataclass whose values pydantic checks; a bad value raises SettingError."""
    made = dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))(cls)
    check = made.__init__

    @functools.wraps(check)
    def __init__(self: Any, *args: Any, **values: Any) -> None:
        try:
            check(self, *args, **values)
        except ValidationError as error:
            raise SettingError(sentence(made, error)) from None

    made.__init__ = __init__
    return made


def sentence(cls: Any, error: ValidationError) -> str:
    """Return the first of pydantic's errors about a validated class as a sentence that says what is allowed."""
    first = error.errors()[0]
    start, *rest = first["loc"]
    start = dict(enumerate(cls.__pydantic_fields__)).get(start, start)  # of an argument without a name
    *outer, name = [start, *(place for place in rest if isinstance(place, str) and place != "[key]")]  # items and keys have no name
    for part in outer:  # to the class that the field belongs to
        field = getattr(cls, "__pydantic_fields__", {}).get(part)
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        cls = next((kind for kind in kinds if hasattr(kind, "__pydantic_fields__")), cls)
    fields = getattr(cls, "__pydantic_fields__", {})
    if name not in fields:
        return f"{cls.__name__} has no field {name!r}; its fields are {', '.join(fields)}.{nearest(name, fields)}"
    rule = (_rule(fields[name]) or first["msg"].partition(" should ")[2]).removeprefix("be ")
    hint = nearest(first["input"], rule.split("'")[1::2])
    return f"{cls.__name__}.{name} is {first['input']!r}; it must be {rule}.{hint}"


def _rule(field: Any) -> str:
    """Return what a number or a word may be; "" where pydantic's own words have to do."""
    kinds = (field.annotation, *get_args(field.annotation))
    bounds = [getattr(one, name) for name in ("ge", "le") for one in field.metadata if hasattr(one, name)]
    words = [get_args(kind) for kind in kinds if get_origin(kind) is Literal]
    rule = f"a {'whole ' * (int in kinds)}number from {bounds[0]:,g} to {bounds[1]:,g}" if len(bounds) == 2 else ""
    rule = " or ".join(map(repr, words[0])) if words else "True or False" if bool in kinds else rule
    return f"None or {rule}" if rule and type(None) in kinds else rule
