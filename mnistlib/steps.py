"""The steps of the series: each is the recipe before it with one field replaced, the last two with what longer searches found."""

from dataclasses import dataclass, replace
from typing import Any

from mnistlib.augment import Augment
from mnistlib.errors import SettingError, nearest
from mnistlib.recipe import Optimizer, Recipe, Schedule

SKELETON = Recipe(model="skeleton", optimizer=Optimizer(lr=0.02, weight_decay=5e-4), schedule=None, batch_size=64)
CAPACITY = replace(SKELETON, model="weighted_plain")
REGULARISE = replace(CAPACITY, model="weighted")
ANNEAL = replace(REGULARISE, schedule=Schedule(peak=5))
AUGMENT = replace(ANNEAL, augment=Augment(degrees=9, scale=0.1, aspect=0.05, shear=8, translate=1.5))
FRONTIER = replace(AUGMENT, model="mnistlib.separable:recurrent", ema_decay=0.999)
FAST = replace(AUGMENT, epochs=6, batch_size=256, optimizer=replace(AUGMENT.optimizer, lr=0.04))
FLOOR = replace(SKELETON, model="softmax", optimizer=replace(SKELETON.optimizer, lr=0.003))  # a linear layer has a rate of its own


@dataclass(frozen=True)
class Step:
    """A recipe with a name, the step that it departs from, and the notebook that reports it."""

    name: str  # "03_augment"
    title: str
    recipe: Recipe
    before: str | None = None  # the step before, None for the first
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # of a run that names none; fixed beforehand
    reported: tuple[int, ...] = tuple(range(30))  # of the committed report, those among them
    notebook: str = ""  # where it is not named as the step
    claim: dict[str, Any] | None = None  # what the authors of a published net report
    beside: str = ""  # for an ablation: the step that it stands beside


def _named(*steps: Step) -> dict[str, Step]:
    return {step.name: step for step in steps}


STEPS = _named(
    Step("00_skeleton", "Skeleton", SKELETON),
    Step("01_capacity", "Capacity", CAPACITY, "00_skeleton"),
    Step("02_regularise", "Regularisation", REGULARISE, "01_capacity"),
    Step("02b_anneal", "Annealing", ANNEAL, "02_regularise"),
    Step("03_augment", "Augmentation", AUGMENT, "02b_anneal"),
    Step("04_frontier", "Frontier", FRONTIER, "03_augment"),
    Step("05_fast", "Fast", FAST, "03_augment"),
)
ABLATIONS = _named(
    Step("softmax", "Softmax regression", FLOOR, beside="00_skeleton"),
    Step("no_norm", "No normalization", replace(AUGMENT, model="weighted_plain"), reported=tuple(range(10)), beside="03_augment"),
    Step("constant_lr", "Constant learning rate", replace(AUGMENT, schedule=None), reported=tuple(range(10)), beside="03_augment"),
)
_REGISTERED: dict[str, Step] = {}  # others, such as the published models


def register(*others: Step) -> None:
    """Make steps outside the series known by their names."""
    _REGISTERED.update(_named(*others))


def get(name: str) -> Step:
    """Return the step called `name`; an unknown one raises SettingError with the nearest."""
    known = STEPS | ABLATIONS | _REGISTERED
    if name not in known:
        raise SettingError(f"There is no step {name!r}.{nearest(name, known)} The steps are {', '.join(known)}.")
    return known[name]


def epochs_before(step: Step, epochs: int) -> int:
    """Return the epochs of the step before to compare `epochs` of this one with: as many, unless both ran what their recipes say."""
    return epochs if step.before is None or epochs != step.recipe.epochs else get(step.before).recipe.epochs
