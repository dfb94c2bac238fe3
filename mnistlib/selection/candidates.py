"""What each step considered: every candidate replaces one field of the recipe before it."""

from dataclasses import dataclass, replace
from typing import Any

from mnistlib import steps
from mnistlib.augment import Augment
from mnistlib.recipe import Optimizer, Recipe


@dataclass(frozen=True)
class Candidate:
    """One idea for a step: a field of the recipe before it, its new value, and why it might help."""

    name: str
    idea: str
    change: dict[str, Any]  # one field of Recipe; empty for the baseline, the recipe as it is
    under: Augment | None = None  # for a finalist: the augmentation it is compared under, because a later step adds some


def _net(name: str, idea: str, under: Augment | None = None) -> Candidate:
    model = name if name in ("narrow", "strided_pool") else f"mnistlib.selection.nets:{name}"
    return Candidate(f"{name}, augmented" if under else name, idea, {"model": model}, under)


LIGHT = Augment(degrees=5, scale=0.05, shear=5, translate=0.8)  # a little of everything affine
BASELINE = Candidate("as before", "The recipe as it is.", {})

CANDIDATES: dict[str, list[Candidate]] = {
    "00_skeleton": [
        Candidate("lr 0.03", "A cautious learning rate.", {"optimizer": Optimizer(lr=0.03)}),
        Candidate("lr 0.1", "Higher than in most public recipes for such nets.", {"optimizer": Optimizer(lr=0.1)}),
    ],
    "01_capacity": [
        _net("narrow", "The skeleton with fewer feature maps."),
        _net("narrow_maxpool", "The same, with the maximum of each feature map at the end instead of its average."),
        _net("deep", "One more layer, fewer feature maps."),
        _net("two_pools", "A second pooling, so that the last layers see more of the image."),
        _net("late_pool", "Two layers at full size before pooling."),
        _net("narrow", "A finalist under light augmentation, which a later step adds.", LIGHT),
        _net("narrow_maxpool", "The other finalist under light augmentation.", LIGHT),
    ],
    "02_regularise": [
        BASELINE,
        Candidate("dropout", "Drop a few feature maps.", {"dropout": 0.03}),
        Candidate("weight decay", "Pull the weights towards zero.", {"optimizer": replace(steps.CAPACITY.optimizer, weight_decay=5e-4)}),
        Candidate("label smoothing", "Do not ask for certainty.", {"label_smoothing": 0.05}),
        Candidate("EMA", "Evaluate an average of the last weights.", {"ema_decay": 0.998}),
    ],
    "03_augment": [
        BASELINE,
        Candidate("light", "A little of everything affine.", {"augment": LIGHT}),
        Candidate(
            "medium", "About twice as much.", {"augment": Augment(degrees=9, scale=0.1, aspect=0.05, shear=8, translate=1.5)}
        ),
        Candidate("light, elastic", "Light, with a smooth elastic deformation.", {"augment": replace(LIGHT, elastic=0.6)}),
    ],
    "04_speed": [
        BASELINE,
        _net("strided", "Stride two in the first layer instead of pooling; widths that suit the processor."),
        _net("strided_pool", "The same, with pooling after the second layer."),
        _net("strided_8ch", "strided_pool with half as many feature maps in the first layer."),
        _net("strided_24ch", "strided_pool with one layer less and more feature maps in the middle."),
    ],
    "05_short": [
        BASELINE,
        *(Candidate(f"{n} epochs", idea, {"epochs": n}) for n, idea in (
            (12, "Four fifths of the epochs."), (10, "Two thirds of the epochs."),
            (8, "About half of the epochs."), (6, "Two fifths of the epochs."),
        )),
    ],
}  # fmt: skip


def recipe(step: steps.Step, candidate: Candidate) -> Recipe:
    """Return a candidate's recipe: that of the step before (for the first step its own) with one field replaced."""
    before = step.recipe if step.before is None else steps.get(step.before).recipe
    return replace(before, **candidate.change, **({"augment": candidate.under} if candidate.under else {}))
