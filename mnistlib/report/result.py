"""A step's result as a value, and as the JSON of results/<step>.json."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mnistlib import files, written
from mnistlib.recipe import Recipe
from mnistlib.stats.summary import Claim, Difference, Summary, Verdict

SCHEMA = 1


@dataclass(frozen=True)
class Conditions:
    """What two results must share to be compared."""

    dataset: str
    split: str
    epochs: int
    limit: int | None
    data: str  # sha256 of the data; asked for only where it decides which images are judged


@dataclass(frozen=True)
class Run:
    """One seed: its figures per epoch, and the file that holds its final weights."""

    seed: int
    key: str
    status: str  # "finished", or "diverged" where a figure is no finite number; such figures are null in the JSON, NaN here
    train_loss: tuple[float, ...]
    train_accuracy: tuple[float, ...]
    train_accuracy_clean: float
    test_loss: tuple[float, ...]  # with split "validation", of the validation images, as test_accuracy
    test_accuracy: tuple[float, ...]
    learning_rate: tuple[float, ...]
    seconds: tuple[float, ...]
    checkpoint: str  # relative to the folder that holds results/ and checkpoints/
    sha256: str  # of the checkpoint
    steering_accuracy: tuple[float, ...] = ()  # of the images that steered the run, where others than the judged ones did
    kept: int | None = None  # the epoch whose net was kept; None: the last

    @property
    def final(self) -> float:
        """Return the accuracy of the net that was kept, on the judged images."""
        return self.test_accuracy[(self.kept or len(self.test_accuracy)) - 1]


@dataclass(frozen=True)
class Result:
    """All that a page says about a step, as results/<step>.json holds it."""

    step: str
    title: str
    dataset: str  # "mnist" or "digits"
    split: str  # "test" or "validation"
    limit: int | None  # training images asked for; None is all
    n_train: int
    n_test: int
    model: str
    n_parameters: int
    n_macs: int
    receptive_field: int
    epochs: int
    recipe: Recipe
    claim: dict[str, Any] | None  # what the authors of a published net say of it
    notes: tuple[str, ...]  # sentences that every page must show
    runs: tuple[Run, ...]
    summary: Summary
    difference: Difference | None
    verdict: Verdict | None
    claims: tuple[Claim, ...]
    provenance: dict[str, Any]
    keys: dict[str, Any]  # what the result was made from: "notebook", "recipe", "data", "reference"

    @property
    def conditions(self) -> Conditions:
        """Return what another result must share to be compared with this one."""
        return Conditions(self.dataset, self.split, self.epochs, self.limit, self.keys["data"])

    @property
    def seeds(self) -> list[int]:
        """Return the seeds in their order."""
        return [run.seed for run in self.runs]

    @property
    def headline(self) -> bool:
        """Say whether this is a full run on MNIST's training images, judged on its test images."""
        return (self.dataset, self.split, self.limit) == ("mnist", "test", None)


def to_json(result: Result) -> dict[str, Any]:
    """Return the JSON value of a result, its own sha256 last."""
    value = {"schema": SCHEMA, **asdict(result), "recipe": written.as_dict(result.recipe)}
    if value["difference"] is not None:
        value["difference"] = {"from": value["difference"].pop("from_"), **value["difference"]}
    value = _plain(value)
    return {**value, "sha256": files.sha256(files.canonical(value))}


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it: lists for tuples, no NumPy types, null for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_json(value: dict[str, Any]) -> Result:
    """Return the result that `to_json` turned into `value`; a missing or unknown field raises KeyError, TypeError or SettingError."""
    value = {name: entry for name, entry in value.items() if name not in ("schema", "sha256")}
    value["recipe"] = written.from_dict(value["recipe"])
    value["notes"] = tuple(value["notes"])
    value["runs"] = tuple(
        Run(**{name: entry if name == "kept" else _figures(entry) for name, entry in run.items()}) for run in value["runs"]
    )
    value["summary"] = Summary(**{name: _figures(entry, null=None) for name, entry in value["summary"].items()})
    if value["difference"] is not None:
        value["difference"] = Difference(value["difference"]["from"], value["difference"]["mean"], tuple(value["difference"]["interval"]))
    value["verdict"] = value["verdict"] and Verdict(**value["verdict"])
    value["claims"] = tuple(Claim(**claim) for claim in value["claims"])
    return Result(**value)


def _figures(entry: Any, null: float | None = math.nan) -> Any:
    """Return a list as a tuple, and null as what it stood for."""
    if isinstance(entry, list):
        return tuple(_figures(value, null) for value in entry)
    return null if entry is None else entry
