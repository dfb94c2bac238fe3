"""How far a training has come: its line in a log, its line of JSON, and what is left."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from mnistlib import files, formatting
from mnistlib.runs import storage

JOURNAL = "MNISTLIB_JOURNAL"  # names, in the environment, a file that gets a line of JSON for each epoch that is trained


@dataclass(frozen=True)
class Progress:
    """One epoch of one seed, just finished."""

    seed: int
    epoch: int  # from 1
    epochs: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    learning_rate: float
    seconds: float
    left: float | None = None  # seconds until all seeds are done, as it looks now; None for a stored trial

    def __str__(self) -> str:
        """Return the line a log shows."""
        return (
            f"seed {self.seed}  epoch {self.epoch:2d}/{self.epochs}"
            f"  loss {formatting.loss(self.train_loss)} train {formatting.loss(self.test_loss)} test"
            f"  accuracy {formatting.percent(self.train_accuracy)} train {formatting.percent(self.test_accuracy)} test"
            f"  lr {formatting.rate(self.learning_rate)}  {formatting.seconds(self.seconds)}"
            + ("" if self.left is None else f"  left {formatting.seconds(self.left)}")
        )

    @classmethod
    def of(cls, seed: int, epochs: int, history: dict[str, list[float]], epoch: int, left: float | None = None) -> Progress:
        """Return the progress that a history shows at an epoch, counted from 1."""
        return cls(seed, epoch, epochs, **{name: history[name][epoch - 1] for name in storage.MEASURED}, left=left)


def longest(epochs: list[int], workers: int) -> int:
    """Return the epochs that the busiest worker has before it, where each takes the next run as soon as it is free.

    `epochs` are those left of each run; runs under way, which have fewer left, come first.
    """
    loads = [0] * workers
    for left in sorted(epochs):
        loads[loads.index(min(loads))] += left
    return max(loads)


def journal(progress: Progress) -> None:
    """Add an epoch as a line of JSON to the file that $MNISTLIB_JOURNAL names, if any; what is no finite number becomes null."""
    if os.environ.get(JOURNAL):
        values = {name: value if math.isfinite(value) else None for name, value in vars(progress).items() if name != "left"}
        with open(os.environ[JOURNAL], "ab") as file:
            file.write(files.canonical(values) + b"\n")
