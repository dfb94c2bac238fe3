"""What a training run is made of: frozen, validated values with units, and the exercise's limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from mnistlib.errors import SettingError, nearest

MIN_ACCURACY = 0.994  # of the test images, at the last epoch
MAX_PARAMETERS = 8_000  # exclusive: a net has fewer
MAX_EPOCHS = 15  # inclusive
HELD_EPOCHS = 3  # "held" means at or above MIN_ACCURACY in this many last epochs


def _check(owner: object, name: str, allowed: bool, rule: str) -> None:
    """Raise SettingError unless a field keeps its rule."""
    if not allowed:
        raise SettingError(f"{type(owner).__name__}.{name} is {getattr(owner, name)!r}; it must be {rule}.")


def _number(owner: object, name: str, low: float, high: float, unit: str = "") -> None:
    """Check that a field is a finite number within closed bounds."""
    value = getattr(owner, name)
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high
    _check(owner, name, good, f"a number from {low:g} to {high:g}{unit}")


def _whole(owner: object, name: str, low: int, high: int) -> None:
    """Check that a field is a whole number within closed bounds."""
    value = getattr(owner, name)
    good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    _check(owner, name, good, f"a whole number from {low} to {high}")


@dataclass(frozen=True)
class Optimizer:
    """Stochastic gradient descent with momentum."""

    lr: float = 0.1  # peak learning rate, reached at the end of the schedule's warm-up
    momentum: float = 0.9  # share of the last update carried on
    nesterov: bool = True  # look ahead along the momentum
    weight_decay: float = 0.0  # pull of the weights towards zero, times lr per step

    def __post_init__(self) -> None:
        _number(self, "lr", 1e-6, 100)
        _number(self, "momentum", 0, 0.999)
        _number(self, "weight_decay", 0, 1)
        _check(self, "nesterov", isinstance(self.nesterov, bool), "True or False")


@dataclass(frozen=True)
class Schedule:
    """A learning rate that rises linearly from zero to its peak, then anneals to zero."""

    warmup: float = 0.2  # share of all steps spent rising
    anneal: str = "cosine"  # "cosine" or "linear": the way down

    def __post_init__(self) -> None:
        _number(self, "warmup", 0, 0.9)
        _check(self, "anneal", self.anneal in ("cosine", "linear"), "'cosine' or 'linear'")

    def factor(self, progress: float) -> float:
        """Return the share of the peak learning rate at `progress`, the share of all steps taken (0 to 1)."""
        if progress < self.warmup:
            return progress / self.warmup
        left = (1 - progress) / (1 - self.warmup)
        return left if self.anneal == "linear" else (1 - math.cos(math.pi * left)) / 2


@dataclass(frozen=True)
class Augment:
    """Random warps of the training images; every image draws its own, all zeros change nothing."""

    rotate: float = 0.0  # degrees, uniform ±
    scale: float = 0.0  # relative, uniform ±: 0.1 draws factors from 0.9 to 1.1
    stretch: float = 0.0  # relative, uniform ±: one axis grows by it as the other shrinks
    shear: float = 0.0  # degrees, uniform ±
    shift: float = 0.0  # pixels, uniform ±, each axis its own
    elastic: float = 0.0  # pixels, standard deviation of a smooth random displacement
    elastic_cells: int = 4  # cells across the image between independent displacements

    def __post_init__(self) -> None:
        _number(self, "rotate", 0, 180, " degrees")
        _number(self, "scale", 0, 0.9)
        _number(self, "stretch", 0, 0.9)
        _number(self, "shear", 0, 60, " degrees")
        _number(self, "shift", 0, 14, " pixels")
        _number(self, "elastic", 0, 10, " pixels")
        _whole(self, "elastic_cells", 2, 14)


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run but its seed and its data."""

    model: str  # a name from mnistlib.models
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    augment: Augment | None = None
    dropout: float = 0.0  # probability that a feature map is silenced, after each pooling
    label_smoothing: float = 0.0  # share of the target spread evenly over the classes
    averaging: float = 0.0  # share of the running average of the weights kept per step; 0: none
    batch_size: int = 128  # images per step
    epochs: int = MAX_EPOCHS  # passes over the training images

    def __post_init__(self) -> None:
        _check(self, "model", isinstance(self.model, str) and bool(self.model), "a name from mnistlib.models")
        for name, kind in (("optimizer", Optimizer), ("schedule", Schedule), ("augment", Augment | None)):
            rule = "None or an Augment" if name == "augment" else f"of type {kind.__name__}"
            _check(self, name, isinstance(getattr(self, name), kind), rule)
        _number(self, "dropout", 0, 0.9)
        _number(self, "label_smoothing", 0, 0.9)
        _number(self, "averaging", 0, 0.99999)
        _whole(self, "batch_size", 2, 60_000)
        _whole(self, "epochs", 1, 100)


def from_dict(value: dict[str, Any]) -> Recipe:
    """Return the recipe that `dataclasses.asdict` turned into a dictionary; an unknown field raises SettingError."""
    value = dict(value)
    for name, kind in (("optimizer", Optimizer), ("schedule", Schedule), ("augment", Augment)):
        if isinstance(value.get(name), dict):
            value[name] = _build(kind, value[name])
    return _build(Recipe, value)


def _build(kind: Callable[..., Any], value: dict[str, Any]) -> Any:
    """Make a dataclass of a dictionary, naming the first unknown field."""
    allowed = [field.name for field in fields(kind)]
    for name in value:
        if name not in allowed:
            raise SettingError(f"{kind.__name__} has no field {name!r}; its fields are {', '.join(allowed)}.{nearest(name, allowed)}")
    return kind(**value)
