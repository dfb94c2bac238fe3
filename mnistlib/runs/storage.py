"""A training run's state and a finished trial: values, and the files they are kept in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from mnistlib import files
from mnistlib.errors import ResultError


@dataclass
class History:
    """What was measured after each epoch; averages weigh images, not batches."""

    train_loss: list[float] = field(default_factory=list)  # running: while the weights move, augmentation and dropout on
    train_accuracy: list[float] = field(default_factory=list)  # running, likewise; a fraction
    test_loss: list[float] = field(default_factory=list)  # of the judging images: test, or validation
    test_accuracy: list[float] = field(default_factory=list)  # of the judging images; a fraction
    learning_rate: list[float] = field(default_factory=list)  # at the epoch's last step
    seconds: list[float] = field(default_factory=list)  # training and judging

    steering_accuracy: list[float] = field(default_factory=list)  # of the images that steer the run; empty where none do

    def add(self, *values: float) -> None:
        """Append one epoch's values, in the order of MEASURED."""
        for name, value in zip(MEASURED, values, strict=True):
            getattr(self, name).append(value)


MEASURED = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate", "seconds")  # in every run


@dataclass
class State:
    """All that a run needs to go on after `len(history.seconds)` epochs."""

    weights: dict[str, Tensor]  # the net's state_dict
    momentum: dict[str, Tensor]  # what the optimizer carries on, by its name for it and the parameter's
    average: dict[str, Tensor]  # the running average of the weights; empty where the recipe has none
    history: History
    best: dict[str, Tensor] = field(default_factory=dict)  # the net of the best epoch so far, where the recipe keeps that


@dataclass(frozen=True)
class Trial:
    """One finished seed of one recipe."""

    key: str  # names recipe, seed, data and engine
    seed: int
    history: History
    train_accuracy_clean: float  # of the last weights on the training images, augmentation and dropout off
    weights: dict[str, Tensor]  # the last net's state_dict
    predictions: np.ndarray  # uint8 [n]: the digit given to each judging image after the last epoch
    confidences: np.ndarray  # float32 [n]: the probability given to that digit
    provenance: dict[str, Any]  # versions, machine and time of the training, from `provenance.collect`


def save_state(path: Path, key: str, state: State) -> None:
    """Write a run's state whole, or leave the one before it."""
    groups = {"weights": state.weights, "momentum": state.momentum, "average": state.average, "best": state.best}
    _save(path, groups, {"key": key, "history": vars(state.history)})


def load_state(path: Path, key: str) -> State | None:
    """Return the state kept at `path`, or None where there is none for this key; a damaged one counts as none."""
    groups, about = _kept(path, key)
    if not groups:
        return None
    kept = (groups.get(name, {}) for name in ("weights", "momentum", "average"))
    return State(*kept, History(**about["history"]), groups.get("best", {}))


def save_trial(path: Path, trial: Trial) -> None:
    """Write a finished trial whole."""
    judged = {"predictions": torch.from_numpy(trial.predictions), "confidences": torch.from_numpy(trial.confidences)}
    about = {name: getattr(trial, name) for name in ("key", "seed", "train_accuracy_clean", "provenance")}
    about["history"] = vars(trial.history)
    _save(path, {"weights": trial.weights, "judged": judged}, about)


def load_trial(path: Path, key: str) -> Trial | None:
    """Return the trial kept at `path`, or None where there is none for this key; a damaged one counts as none."""
    groups, about = _kept(path, key)
    if not groups:
        return None
    judged = {name: tensor.numpy() for name, tensor in groups["judged"].items()}
    return Trial(**{**about, "history": History(**about["history"])}, weights=groups["weights"], **judged)


def _kept(path: Path, key: str) -> tuple[dict[str, dict[str, Tensor]], dict]:
    """Return what is kept at `path` for this key, nothing where there is none or it is damaged."""
    try:
        groups, about = _load(path)
    except (OSError, ResultError):
        return {}, {}
    return (groups, about) if about.get("key") == key else ({}, {})


def _save(path: Path, groups: dict[str, dict[str, Tensor]], about: dict) -> None:
    """Write named groups of tensors and a JSON note as one safetensors body followed by its sha256."""
    tensors = {f"{group}/{name}": value.detach().cpu().contiguous() for group, values in groups.items() for name, value in values.items()}
    body = save(tensors, metadata={"about": json.dumps(about)})
    files.write(path, body + files.sha256(body).encode())


def _load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict]:
    """Return what `_save` wrote, or raise ResultError where a byte differs."""
    content = path.read_bytes()
    body, digest = content[:-64], content[-64:]
    if files.sha256(body).encode() != digest:
        raise ResultError(f"{path.name} does not match its sha256; it was damaged or cut short.")
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load(body).items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    return groups, json.loads(header["__metadata__"]["about"])
