"""What a reader may set in a notebook's parameters cell, checked before anything is trained."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mnistlib import files, written
from mnistlib.errors import SettingError, nearest
from mnistlib.recipe import Recipe

MAX_EPOCHS_RUN = 100  # what may be run; the exercise's own limit is in `recipe`
MAX_LIMIT = 60_000  # images in MNIST's training file
MAX_SEED = 2**32 - 1  # the largest that every source of randomness takes
SPLITS = ("test", "validation")
DATASETS = ("auto", "mnist", "digits")
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Settings:
    """The checked parameters of a step notebook."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # one training run each
    epochs: int | None = None  # passes over the training images; None: the recipe's
    fields: dict[str, Any] | None = None  # of the recipe, with other values to try; None: the recipe as it is
    limit: int | None = None  # training images; None: all
    split: str = "test"  # what the net is judged on: "test" or "validation"
    dataset: str = "auto"  # "mnist", "digits" (the offline sample), or MNIST where it can be had
    data_dir: str | None = None  # where MNIST's files are looked for first
    results_dir: Path = Path("build")  # absolute once read; results/ and checkpoints/ go in there
    device: str = "auto"  # "cpu", "cuda", "mps", or one of them chosen by the machine
    workers: int | None = None  # processes training side by side; None: as many as are of use
    reuse: bool = False  # show stored trials instead of training again

    def recipe(self, own: Recipe) -> Recipe:
        """Return the recipe to run: a step's own, with the fields and epochs that were set; raise SettingError for a bad field."""
        tried = written.changed(own, self.fields or {})
        return replace(tried, epochs=self.epochs or tried.epochs)


def read(namespace: dict[str, Any]) -> Settings:
    """Return a notebook's parameters, checked; call it as `settings.read(globals())`.

    Raises:
        SettingError: a parameter's value is not allowed, or papermill was given a parameter that the notebook does not have.
    """
    _check_injected(namespace.get("In", ()))
    given = {field.name: namespace.get(field.name, field.default) for field in fields(Settings)}
    _check_seeds(given["seeds"])
    _check_whole("epochs", given["epochs"], 1, MAX_EPOCHS_RUN, "None (the recipe's)")
    named = isinstance(given["fields"], dict) and all(isinstance(name, str) for name in given["fields"])
    _require("fields", given["fields"], given["fields"] is None or named, 'None or fields of the recipe, such as {"optimizer.lr": 0.05}')
    _check_whole("limit", given["limit"], 1, MAX_LIMIT, "None (all training images)")
    _check_choice("split", given["split"], SPLITS)
    _check_choice("dataset", given["dataset"], DATASETS)
    _check_choice("device", given["device"], DEVICES)
    _check_whole("workers", given["workers"], 1, None, "None (as many as are of use)")
    _require("reuse", given["reuse"], isinstance(given["reuse"], bool), "True or False")
    _check_path("data_dir", given["data_dir"], "None or a folder's path")
    _check_path("results_dir", "" if given["results_dir"] is None else given["results_dir"], "a folder's path")
    _check_available(given["device"])
    data_dir = None if given["data_dir"] is None else str(given["data_dir"])
    results_dir = files.writable(files.resolve(given["results_dir"]))
    return Settings(**given | {"seeds": tuple(given["seeds"]), "data_dir": data_dir, "results_dir": results_dir})


def check_names(given: Iterable[str], allowed: Sequence[str]) -> None:
    """Raise SettingError for the first name that is not among a notebook's parameters."""
    for name in given:
        if name not in allowed:
            raise SettingError(f"There is no parameter {name!r}.{nearest(name, allowed)} The parameters are {', '.join(allowed)}.")


def devices() -> list[str]:
    """Return the devices that this machine offers, best first."""
    import torch  # here, so that reading parameters without a device costs nothing

    offered = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, there in offered.items() if there]


def assigned(source: str) -> dict[str, Any]:
    """Return the plain names that a cell assigns at its top level, in order, with their values; None for what is no literal."""
    values: dict[str, Any] = {}
    for statement in _statements(source):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                if isinstance(target, ast.Name):
                    values[target.id] = _literal(statement.value)
    return values


def _literal(value: ast.expr) -> Any:
    """Return the value of a literal, None for any other expression."""
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError):
        return None


def _check_injected(history: Sequence[str]) -> None:
    """Compare what papermill injected with the parameters cell before it, both from the kernel's history of cells.

    Papermill itself only warns of a misspelt parameter and then runs with the defaults.
    """
    for place in range(len(history) - 1, 0, -1):
        injected = _injected_names(history[place])
        if injected is None:
            continue
        for earlier in range(place - 1, -1, -1):
            allowed = list(assigned(history[earlier]))
            if any(field.name in allowed for field in fields(Settings)):
                check_names([name for name in injected if not name.startswith("PAPERMILL_")], allowed)
                return
        return


def _injected_names(source: str) -> list[str] | None:
    """Return the names set by a cell that papermill wrote; None for any other cell."""
    lines = source.splitlines()
    if not lines or lines[0].strip() != "# Parameters":
        return None
    return list(assigned(source)) if all(isinstance(statement, ast.Assign) for statement in _statements(source)) else None


def _statements(source: str) -> list[ast.stmt]:
    """Return a cell's statements; none where it is not Python."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def _require(name: str, value: object, allowed: bool, rule: str) -> None:
    """Raise SettingError unless a parameter keeps its rule."""
    if not allowed:
        raise SettingError(f"{name} is {value!r}; it must be {rule}.")


def _is_whole(value: object) -> bool:
    """Say whether a value is a whole number, True and False not among them."""
    return isinstance(value, int) and not isinstance(value, bool)


def _check_whole(name: str, value: Any, low: int, high: int | None, none: str) -> None:
    """Check that a parameter is None or a whole number within closed bounds."""
    rule = f"{none} or a whole number " + (f"from {low}" if high is None else f"from {low} to {high:,d}")
    _require(name, value, value is None or (_is_whole(value) and low <= value and (high is None or value <= high)), rule)


def _check_seeds(seeds: Any) -> None:
    """Check that the seeds are a list of different whole numbers."""
    rule = f"a list of one or more different whole numbers from 0 to {MAX_SEED:,d}, such as [0, 1]"
    good = isinstance(seeds, list | tuple) and len(seeds) > 0
    good = good and all(_is_whole(seed) and 0 <= seed <= MAX_SEED for seed in seeds) and len(set(seeds)) == len(seeds)
    _require("seeds", seeds, good, rule)


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Check that a parameter is one of a few words, and name the nearest."""
    if not isinstance(value, str) or value not in allowed:
        choices = ", ".join(repr(word) for word in allowed[:-1]) + f" or {allowed[-1]!r}"
        raise SettingError(f"{name} is {value!r}; it must be {choices}.{nearest(value, allowed)}")


def _check_path(name: str, value: object, rule: str) -> None:
    """Check that a parameter can be a path."""
    _require(name, value, value is None or (isinstance(value, str | os.PathLike) and str(value).strip() != ""), rule)


def _check_available(device: str) -> None:
    """Check that this machine has the device that was asked for by name."""
    if device not in ("auto", "cpu") and device not in devices():
        offered = " and ".join(repr(name) for name in devices())
        raise SettingError(f"device is {device!r}, which this machine does not offer; it offers {offered}, and 'auto' chooses among them.")
