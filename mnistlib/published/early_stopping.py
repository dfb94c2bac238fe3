"""What steers a run while it is under way: the accuracies it goes by, the epoch it keeps, its early end."""

from __future__ import annotations

import numpy as np

from mnistlib.recipe import Recipe
from mnistlib.runs.storage import History


def guides(recipe: Recipe, history: History) -> tuple[float, ...]:
    """Return the accuracy on the images that steer the recipe after each epoch so far; nothing where none do."""
    return tuple(history.steering_accuracy or (history.test_accuracy if recipe.steering else ()))


def kept(recipe: Recipe, history: History) -> int:
    """Return the epoch, from 1, whose net the recipe keeps, as it looks now: the last one, or the first of the best."""
    if recipe.steering is None or recipe.steering.keep == "last":
        return len(history.seconds)
    return 1 + int(np.argmax(guides(recipe, history)))


def ended(recipe: Recipe, history: History) -> bool:
    """Say whether the accuracy that steers the recipe has reached what ends it early."""
    goal = recipe.steering.stop_at if recipe.steering else None
    return goal is not None and any(accuracy >= goal for accuracy in guides(recipe, history))
