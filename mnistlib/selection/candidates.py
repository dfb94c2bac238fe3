"""What each step considered: every candidate replaces one field of the recipe before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mnistlib import steps
from mnistlib.recipe import Augment, Optimizer, Recipe


@dataclass(frozen=True)
class Candidate:
    """One idea for a step: a field of the recipe before it, its new value, and why it might help."""

    name: str
    idea: str
    change: dict[str, Any]  # one field of Recipe; empty where everything stays as it is
    under: Augment | None = None  # warps that a finalist is judged under, because a later step will add some


def _lr(lr: float) -> dict[str, Any]:
    return {"optimizer": Optimizer(lr=lr)}


LIGHT = Augment(rotate=5, scale=0.05, shear=5, shift=0.8)  # a little of everything affine

CANDIDATES: dict[str, list[Candidate]] = {
    "00_skeleton": [
        Candidate("gentle", "A careful learning rate.", _lr(0.03)),
        Candidate("brisk", "The learning rate that most public recipes for such nets stay below.", _lr(0.1)),
    ],
    "01_capacity": [
        Candidate("average", "The skeleton made narrower.", {"model": "average"}),
        Candidate("early", "Narrower, and the strongest answer of each map instead of its average.", {"model": "early"}),
        Candidate("deep", "A layer more, thinner maps.", {"model": "deep"}),
        Candidate("twice", "A second pooling, so that the last layers see more of the image.", {"model": "twice"}),
        Candidate("late", "Two layers at full size before pooling.", {"model": "late"}),
        Candidate("average, warped", "A finalist under light warps, where the series is heading.", {"model": "average"}, LIGHT),
        Candidate("early, warped", "The other finalist under light warps.", {"model": "early"}, LIGHT),
    ],
    "02_regularise": [
        Candidate("nothing", "The recipe before it, as it is.", {}),
        Candidate("dropout", "Silence a few feature maps.", {"dropout": 0.03}),
        Candidate("decay", "Pull the kernels towards zero.", {"optimizer": replace(steps.CAPACITY.optimizer, weight_decay=5e-4)}),
        Candidate("smoothing", "Do not ask for certainty.", {"label_smoothing": 0.05}),
        Candidate("averaging", "Judge the running average of the weights.", {"averaging": 0.998}),
    ],
    "03_augment": [
        Candidate("nothing", "The recipe before it, as it is.", {}),
        Candidate("light", "A little of everything affine.", {"augment": LIGHT}),
        Candidate("middling", "Twice as much.", {"augment": Augment(rotate=9, scale=0.1, stretch=0.05, shear=8, shift=1.5)}),
        Candidate("bend", "Light, and bent smoothly.", {"augment": replace(LIGHT, elastic=0.6)}),
    ],
    "04_speed": [
        Candidate("nothing", "The recipe before it, as it is.", {}),
        Candidate(
            "strided", "Take every other pixel in the first layer instead of pooling; widths that suit the processor.", {"model": "strided"}
        ),
        Candidate("brisk", "The same, and pool after the second layer.", {"model": "brisk"}),
        Candidate("lean", "Brisk, with half as many maps in the first layer.", {"model": "lean"}),
        Candidate("broad", "Brisk, with a layer less and more maps in the middle.", {"model": "broad"}),
    ],
    "05_short": [
        Candidate("nothing", "The recipe before it, as it is.", {}),
        Candidate("twelve", "Four fifths of the epochs.", {"epochs": 12}),
        Candidate("ten", "Two thirds of the epochs.", {"epochs": 10}),
        Candidate("eight", "About half of the epochs.", {"epochs": 8}),
        Candidate("six", "Two fifths of the epochs.", {"epochs": 6}),
    ],
}


def recipe(step: steps.Step, candidate: Candidate) -> Recipe:
    """Return the recipe of a candidate: that of the step before, or for the first step its own, with one field replaced.

    A finalist's has its warps beside.
    """
    before = step.recipe if step.before is None else steps.get(step.before).recipe
    return replace(before, **candidate.change, **({"augment": candidate.under} if candidate.under else {}))
