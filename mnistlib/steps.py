"""The steps: each is the recipe before it with one field replaced."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mnistlib.errors import SettingError, nearest
from mnistlib.recipe import Augment, Recipe

SKELETON = Recipe(model="skeleton")
CAPACITY = replace(SKELETON, model="average")
REGULARISE = replace(CAPACITY, label_smoothing=0.05)
AUGMENT = replace(REGULARISE, augment=Augment(rotate=9, scale=0.1, stretch=0.05, shear=8, shift=1.5))
SPEED = replace(AUGMENT, model="brisk")
SHORT = replace(SPEED, epochs=10)


@dataclass(frozen=True)
class Step:
    """One step of the series: its recipe and the step it departs from."""

    name: str  # as the notebook's, "03_augment"
    title: str
    recipe: Recipe
    before: str | None  # the step before, None for the first


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("00_skeleton", "Skeleton", SKELETON, None),
        Step("01_capacity", "Capacity", CAPACITY, "00_skeleton"),
        Step("02_regularise", "Regularisation", REGULARISE, "01_capacity"),
        Step("03_augment", "Augmentation", AUGMENT, "02_regularise"),
        Step("04_speed", "Speed", SPEED, "03_augment"),
        Step("05_short", "Shorter", SHORT, "04_speed"),
    )
}


def get(name: str) -> Step:
    """Return the step called `name`; an unknown one raises SettingError with the nearest."""
    if name not in STEPS:
        raise SettingError(f"There is no step {name!r}; the steps are {', '.join(STEPS)}.{nearest(name, STEPS)}")
    return STEPS[name]


def epochs_before(step: Step, epochs: int) -> int:
    """Return the epochs that a result of the step before must have run to be compared with this step after `epochs`.

    As many, unless both ran what their recipes say: then a step may change the very number of epochs.
    """
    before = STEPS.get(step.before or "")
    return before.recipe.epochs if before is not None and epochs == step.recipe.epochs else epochs
