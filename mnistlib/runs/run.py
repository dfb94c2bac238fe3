"""A finished run and an interrupted one as values, and the training of one seed to its end."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnistlib.data import Mnist
from mnistlib.recipe import Recipe
from mnistlib.train import History, Trainer, accuracy, evaluate


@dataclass
class State:
    """All that an interrupted run needs to resume after its last finished epoch."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]  # by the optimizer's name for it and the parameter's: "momentum_buffer/0.conv.weight"
    ema: dict[str, Tensor]  # torch's AveragedModel; empty where the recipe has no EMA
    history: History
    kept_weights: dict[str, Tensor] = field(default_factory=dict)  # of the best epoch so far, where the recipe keeps them


@dataclass(frozen=True)
class Run:
    """One finished seed of one recipe; read from a result, it has no weights until its checkpoint is read."""

    seed: int
    history: History
    n_train: int  # training images
    train_accuracy_clean: float  # of the final weights on the training images, augmentation and dropout off
    kept_epoch: int | None = None  # the epoch, from 1, whose weights were kept; None: the last
    weights: dict[str, Tensor] | None = None
    predictions: np.ndarray | None = None  # uint8 [n]: the digit predicted for each evaluation image
    confidences: np.ndarray | None = None  # float32 [n]: its probability
    key: str = ""  # in the cache; names recipe, seed, data and engine
    provenance: dict[str, Any] = field(default_factory=dict)  # versions, machine and time
    checkpoint: str = ""  # of a result: the file of the weights, relative to the folder that holds results/
    sha256: str = ""  # of that file

    @property
    def final(self) -> float:
        """Return the accuracy of the weights that were kept, on the evaluation images."""
        return self.history.eval_accuracy[(self.kept_epoch or 0) - 1]


def train(
    recipe: Recipe,
    mnist: Mnist,
    seed: int,
    device: str = "cpu",
    state: State | None = None,
    after_epoch: Callable[[State], Any] = lambda state: None,
) -> Run:
    """Train one seed and return its run, resuming from `state` where it was interrupted; `after_epoch` is given the state to keep."""
    trainer: Trainer = pkgutil.resolve_name(recipe.trainer)(recipe, seed, device)
    if state is not None:
        restore(trainer, state)
    trainer.fit(mnist, lambda trainer: after_epoch(capture(trainer)))
    if trainer.kept_weights:
        trainer.eval_model.load_state_dict(trainer.kept_weights)
    part = trainer.training_images(mnist)
    _, predictions, confidences = evaluate(trainer.eval_model, mnist.eval)
    clean = accuracy(evaluate(trainer.eval_model, part)[1], part)
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in trainer.eval_model.state_dict().items()}
    return Run(seed, trainer.history, len(part.labels), clean, trainer.kept_epoch, weights, predictions, confidences)


def capture(trainer: Trainer) -> State:
    """Return all that is needed to resume a trainer."""
    names = dict(trainer.model.named_parameters())
    carried = {f"{what}/{name}": value for name, p in names.items() for what, value in trainer.optimizer.state[p].items()}
    optimizer = {name: value for name, value in carried.items() if value is not None}
    ema = {} if trainer.ema_model is None else trainer.ema_model.state_dict()
    return State(trainer.model.state_dict(), optimizer, ema, trainer.history, trainer.kept_weights)


def restore(trainer: Trainer, state: State) -> None:
    """Bring a new trainer to where a state was captured."""
    trainer.model.load_state_dict(state.weights)
    parameters = dict(trainer.model.named_parameters())
    for place, kept in state.optimizer.items():
        what, _, name = place.partition("/")
        like = parameters[name] if kept.shape == parameters[name].shape else kept  # the same memory layout: another rounds differently
        trainer.optimizer.state[parameters[name]][what] = torch.empty_like(like, device=parameters[name].device).copy_(kept)
    if trainer.ema_model is not None:
        trainer.ema_model.load_state_dict(state.ema)
    trainer.history = copied(state.history)
    trainer.kept_weights = dict(state.kept_weights)


def copied(history: History) -> History:
    """Return a history that can grow on its own."""
    return History(**{name: list(values) for name, values in vars(history).items()})
