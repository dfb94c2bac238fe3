"""Runs on disk: finished ones and interrupted ones under their keys, and checkpoints trusted by their sha256 alone."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor

from mnistlib import files, models, recipe_dict
from mnistlib.data import Mnist
from mnistlib.errors import ResultError
from mnistlib.recipe import Recipe
from mnistlib.runs.run import Run, State
from mnistlib.runs.signature import signature
from mnistlib.train import History

ENGINE = 2  # changes only when the arithmetic of a training run does


def cache_key(recipe: Recipe, mnist: Mnist, seed: int) -> str:
    """Return the name of a run: a hash of recipe, layers, seed, data, split and engine."""
    layers = signature(models.build(recipe.model, recipe.dropout))
    about = [recipe_dict.digest(recipe), layers, seed, mnist.split, mnist.train_limit, mnist.sha256, ENGINE]
    return files.sha256(files.canonical(about))[:24]


def run_path(folder: Path, key: str) -> Path:
    """Return where a finished run is kept."""
    return folder / f"{key}.run"


def state_path(folder: Path, key: str) -> Path:
    """Return where an interrupted run is kept."""
    return folder / f"{key}.state"


def save_state(path: Path, key: str, state: State) -> None:
    """Write a run's state whole, or leave the one before it."""
    groups = {name: value for name, value in vars(state).items() if name != "history"}
    _save(path, groups, {"key": key, "history": vars(state.history)})


def load_state(path: Path, key: str) -> State | None:
    """Return the state kept for a key, None where there is none or it is damaged."""
    groups, about = _load(path, key)
    if not about:
        return None
    kept = {name: groups.get(name, {}) for name in ("weights", "optimizer", "ema", "kept_weights")}
    return State(**kept, history=History(**about["history"]))


def save_run(path: Path, run: Run) -> None:
    """Write a finished run whole."""
    evaluated = {"predictions": torch.from_numpy(run.predictions), "confidences": torch.from_numpy(run.confidences)}
    about = {name: getattr(run, name) for name in ("key", "seed", "n_train", "train_accuracy_clean", "kept_epoch", "provenance")}
    _save(path, {"weights": run.weights, "evaluated": evaluated}, about | {"history": vars(run.history)})


def load_run(path: Path, key: str) -> Run | None:
    """Return the run kept for a key, None where there is none or it is damaged."""
    groups, about = _load(path, key)
    if not about:
        return None
    evaluated = {name: tensor.numpy() for name, tensor in groups["evaluated"].items()}
    return Run(**about | {"history": History(**about["history"])}, weights=groups["weights"], **evaluated)


def _save(path: Path, groups: dict[str, dict[str, Tensor]], about: dict[str, Any]) -> None:
    tensors = {f"{group}/{name}": _copied(value) for group, values in groups.items() for name, value in values.items()}
    body = safetensors.save(tensors, metadata={"about": json.dumps(about)})
    files.write(path, body + files.sha256(body).encode())


def _load(path: Path, key: str) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Return what `_save` wrote for a key; nothing where the file is missing, damaged or another key's."""
    content = path.read_bytes() if path.is_file() else b""
    body, digest = content[:-64], content[-64:]
    if files.sha256(body).encode() != digest:
        return {}, {}
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    about = json.loads(header["__metadata__"]["about"])
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in safetensors.load(body).items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    return (groups, about) if about["key"] == key else ({}, {})


def pack(weights: dict[str, Tensor]) -> bytes:
    """Return weights as the bytes of a checkpoint; the same weights give the same bytes."""
    return safetensors.save({name: _copied(value) for name, value in weights.items()})


def _copied(value: Tensor) -> Tensor:
    """Return a tensor of its own on the CPU: a layer that is used several times has its weights under several names."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def read_checkpoint(path: Path, sha256: str) -> dict[str, Tensor]:
    """Return the weights of a checkpoint whose sha256 is known; raise ResultError where it is missing or differs by one bit."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ResultError(f"The checkpoint {path.name} is missing beside its result; restore the file or train the step again.") from None
    except OSError as error:
        raise ResultError(f"The checkpoint {path.name} cannot be read ({error.strerror}).") from None
    if files.sha256(content) != sha256:
        raise ResultError(f"The checkpoint {path.name} is not the one its result was made with: its sha256 differs.")
    return safetensors.load(content)
