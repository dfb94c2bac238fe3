"""What a training run is made of: frozen, validated values with units, and the limits of the exercise."""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mnistlib.augment import Augment
from mnistlib.errors import between, validated

MIN_ACCURACY = 0.994  # on the test images, after the last epoch
MAX_PARAMETERS = 8_000  # exclusive: a net has fewer
MAX_EPOCHS = 15  # inclusive
HELD_EPOCHS = 3  # "held" means at or above MIN_ACCURACY in this many last epochs


@validated
class Optimizer:
    """Stochastic gradient descent with momentum, or Adam with torch's own betas."""

    name: Literal["sgd", "adam"] = "sgd"  # "adam" ignores momentum and nesterov
    lr: Annotated[float, between(1e-6, 100)] = 0.1  # learning rate
    momentum: Annotated[float, between(0, 0.999)] = 0.9
    nesterov: bool = True
    weight_decay: Annotated[float, between(0, 1)] = 0.0  # L2 penalty, as torch defines it
    decay_norm_and_bias: bool = False  # whether weight decay also acts on biases and normalization


@validated
class Schedule:
    """A learning rate that warms up linearly from zero to its peak, then anneals to a fraction of it."""

    warmup: Annotated[float, between(0, 0.9)] = 0.2  # fraction of all steps
    anneal: Literal["cosine", "linear"] = "cosine"
    peak: Annotated[float, between(1, 100)] = 1.0  # factor on the optimizer's learning rate
    end: Annotated[float, between(0, 1)] = 0.0  # what is left after the last step, as a fraction of the peak

    def lr_factor(self, step: int, total_steps: int) -> float:
        """Return the factor on the learning rate in the middle of a step, counted from 0."""
        progress = (step + 0.5) / total_steps
        if progress < self.warmup:
            return self.peak * progress / self.warmup
        left = (1 - progress) / (1 - self.warmup)
        left = left if self.anneal == "linear" else (1 - math.cos(math.pi * left)) / 2
        return self.peak * (self.end + (1 - self.end) * left)


@validated
class Recipe:
    """All that decides a training run but its seed and its data."""

    model: Annotated[str, Field(min_length=1)]  # a net of mnistlib.models, or an import path such as "my_nets:MyNet"
    optimizer: Optimizer = Optimizer()
    schedule: Schedule | None = Schedule()  # None: a constant learning rate
    augment: Augment | None = None
    dropout: Annotated[float, between(0, 0.9)] = 0.0  # probability, where the net has dropout
    label_smoothing: Annotated[float, between(0, 0.9)] = 0.0
    ema_decay: Annotated[float, between(0, 0.99999)] = 0.0  # of the exponential moving average of the weights; 0: none
    batch_size: Annotated[int, between(2, 60_000)] = 128
    epochs: Annotated[int, between(1, 100)] = MAX_EPOCHS

    trainer: ClassVar[str] = "mnistlib.train:Trainer"  # what trains it; a subclass may name another
