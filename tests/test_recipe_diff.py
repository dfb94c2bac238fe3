"""What differs between two recipes."""

from dataclasses import dataclass, replace

import pytest

from mnistlib.recipe import Augment, Optimizer, Recipe, Schedule
from mnistlib.report import recipe_diff

BEFORE = Recipe("narrow", Optimizer(lr=0.1))
WARPED = replace(BEFORE, augment=Augment(shear=7.0))


@dataclass(frozen=True)
class Rotation:
    """A part whose field does not say what it is."""

    degrees: float = 0.0


@pytest.mark.parametrize(
    ("changed", "expected", "text"),
    [
        ({"dropout": 0.05}, [("dropout", 0.0, 0.05)], "dropout 0.05 (was 0)"),
        ({"model": "deep"}, [("model", BEFORE.model, "deep")], f"model deep (was {BEFORE.model})"),
        ({"augment": Augment(shear=7.0)}, [("augment.shear", None, 7.0)], "augment: shear 7"),
        ({"augment": Augment()}, [("augment", None, Augment())], "augment defaults"),
        ({"optimizer": Optimizer(lr=0.3)}, [("optimizer.lr", 0.1, 0.3)], "optimizer: lr 0.3 (was 0.1)"),
        ({"schedule": Schedule(anneal="linear")}, [("schedule.anneal", "cosine", "linear")], "schedule: anneal linear (was cosine)"),
        ({}, [], "nothing"),
        (
            {"dropout": 0.05, "optimizer": Optimizer(lr=0.3, weight_decay=5e-4)},
            [("optimizer.lr", 0.1, 0.3), ("optimizer.weight_decay", 0.0, 5e-4), ("dropout", 0.0, 0.05)],
            "optimizer: lr 0.3 (was 0.1), weight decay 0.0005 (was 0), dropout 0.05 (was 0)",
        ),
    ],
)
def test_just_what_changed_is_named(changed, expected, text):
    now = replace(BEFORE, **changed)
    assert list(recipe_diff.changes(now, BEFORE)) == expected
    assert recipe_diff.summary(now, BEFORE) == text


def test_a_part_that_goes():
    assert list(recipe_diff.changes(BEFORE, WARPED)) == [("augment", WARPED.augment, None)]
    assert recipe_diff.summary(BEFORE, WARPED) == "no augment"


def test_parts_of_other_kinds_are_shown_with_their_class():
    assert recipe_diff.text(WARPED.augment) == "shear 7"
    assert recipe_diff.text((Rotation(7.0), Rotation())) == "Rotation (degrees 7), then Rotation (defaults)"
    assert recipe_diff.text((0.8, 1.0)) == "0.8 to 1" and recipe_diff.text(None) == recipe_diff.text(()) == "none"
    assert recipe_diff.text("selection.nets:deep") == "deep"
