"""What a training run is made of: frozen, validated values with units, and the exercise's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mnistlib.checks import check, choice, number, whole
from mnistlib.errors import SettingError
from mnistlib.published import schedulers, transforms

MIN_ACCURACY = 0.994  # of the test images, at the last epoch
MAX_PARAMETERS = 8_000  # exclusive: a net has fewer
MAX_EPOCHS = 15  # inclusive
HELD_EPOCHS = 3  # "held" means at or above MIN_ACCURACY in this many last epochs


@dataclass(frozen=True)
class Optimizer:
    """Stochastic gradient descent with momentum, or Adam with torch's own settings."""

    lr: float = 0.1  # peak learning rate, reached at the end of the schedule's warm-up
    momentum: float = 0.9  # share of the last update carried on
    nesterov: bool = True  # look ahead along the momentum
    weight_decay: float = 0.0  # pull of the weights towards zero, times lr per step
    kind: str = "sgd"  # or "adam", which has no use for momentum and nesterov
    decays: str = "kernels"  # what weight decay pulls: "kernels" (and the linear layer), or "all", biases and normalization too

    def __post_init__(self) -> None:
        number(self, "lr", 1e-6, 100)
        choice(self, "kind", ("sgd", "adam"))
        choice(self, "decays", ("kernels", "all"))
        number(self, "momentum", 0, 0.999)
        number(self, "weight_decay", 0, 1)
        check(self, "nesterov", isinstance(self.nesterov, bool), "True or False")


@dataclass(frozen=True)
class Schedule:
    """A learning rate that rises linearly from zero to its peak, then anneals to zero."""

    warmup: float = 0.2  # share of all steps spent rising
    anneal: str = "cosine"  # "cosine" or "linear": the way down

    def __post_init__(self) -> None:
        number(self, "warmup", 0, 0.9)
        choice(self, "anneal", ("cosine", "linear"))

    def at(self, moment: schedulers.Moment) -> float:
        """Return the share of the peak learning rate in the middle of a step."""
        return self.factor((moment.done + 0.5) / (moment.epochs * moment.n_steps))

    def momentum(self, moment: schedulers.Moment) -> None:
        """Return None: the momentum stays the optimizer's."""

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
        number(self, "rotate", 0, 180, " degrees")
        number(self, "scale", 0, 0.9)
        number(self, "stretch", 0, 0.9)
        number(self, "shear", 0, 60, " degrees")
        number(self, "shift", 0, 14, " pixels")
        number(self, "elastic", 0, 10, " pixels")
        whole(self, "elastic_cells", 2, 14)


@dataclass(frozen=True)
class Steering:
    """Decisions taken while a run is under way, by its accuracy on images that it does not train on."""

    by: str  # "validation": training images of writers set aside, which are then not trained on; "judged": the judged images, a leak
    keep: str = "last"  # the net a run ends with: that of its "last" epoch, or that of the "best" one on the steering images
    stop_at: float | None = None  # accuracy on the steering images that ends a run early

    def __post_init__(self) -> None:
        choice(self, "by", ("validation", "judged"))
        choice(self, "keep", ("last", "best"))
        if self.stop_at is not None:
            number(self, "stop_at", 0, 1)


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run but its seed and its data."""

    model: str  # a name from mnistlib.models
    optimizer: Optimizer = Optimizer()
    schedule: Any = Schedule()  # or a value from `schedules`
    augment: Any = None  # an Augment, or a tuple of values from `transforms`
    dropout: float = 0.0  # probability that a feature map (in published nets, a value) is silenced, where the net says so
    label_smoothing: float = 0.0  # share of the target spread evenly over the classes
    averaging: float = 0.0  # share of the running average of the weights kept per step; 0: none
    batch_size: int = 128  # images per step
    epochs: int = MAX_EPOCHS  # passes over the training images
    steering: Steering | None = None

    def __post_init__(self) -> None:
        check(self, "model", isinstance(self.model, str) and bool(self.model), "a name from mnistlib.models")
        check(self, "optimizer", isinstance(self.optimizer, Optimizer), "of type Optimizer")
        kinds = (Schedule, *schedulers.KINDS.values())
        check(self, "schedule", isinstance(self.schedule, kinds), f"one of {', '.join(kind.__name__ for kind in kinds)}")
        listed = isinstance(self.augment, tuple) and all(isinstance(one, tuple(transforms.KINDS.values())) for one in self.augment)
        good = self.augment is None or isinstance(self.augment, Augment) or (listed and self.augment)
        check(self, "augment", bool(good), "None, an Augment or a tuple of transforms")
        number(self, "dropout", 0, 0.9)
        number(self, "label_smoothing", 0, 0.9)
        number(self, "averaging", 0, 0.99999)
        whole(self, "batch_size", 2, 60_000)
        whole(self, "epochs", 1, 100)
        check(self, "steering", isinstance(self.steering, Steering | None), "None or a Steering")
        if isinstance(self.schedule, schedulers.Plateau) and self.steering is None:
            raise SettingError("Recipe.steering is None; a Plateau schedule needs a Steering to say which images it goes by.")
