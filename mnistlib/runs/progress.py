"""How far training has come: a line in the log and a line of JSON for every epoch, and the time that is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistlib import files, formatting
from mnistlib.logs import log

MEASURED = ("train_loss", "train_accuracy", "eval_loss", "eval_accuracy", "learning_rate", "seconds")


@dataclass(frozen=True)
class Progress:
    """One epoch of one seed, just finished."""

    seed: int
    epoch: int  # from 1
    epochs: int
    train_loss: float
    train_accuracy: float
    eval_loss: float
    eval_accuracy: float
    learning_rate: float
    seconds: float
    left: float | None = None  # seconds until all seeds are done, as it looks now; None for a cached run

    def __str__(self) -> str:
        return (
            f"seed {self.seed}  epoch {self.epoch:2d}/{self.epochs}"
            f"  loss {self.train_loss:.4f} train {self.eval_loss:.4f} eval"
            f"  accuracy {formatting.percent(self.train_accuracy)} train {formatting.percent(self.eval_accuracy)} eval"
            f"  lr {self.learning_rate:.4f}  {formatting.seconds(self.seconds)}"
            + ("" if self.left is None else f"  left {formatting.seconds(self.left)}")
        )

    @classmethod
    def of(cls, seed: int, epochs: int, history: dict[str, list[float]], epoch: int, left: float | None = None) -> Progress:
        """Return the progress that a history shows at an epoch, counted from 1."""
        return cls(seed, epoch, epochs, **{name: history[name][epoch - 1] for name in MEASURED}, left=left)


class Reporter:
    """Turns the histories that runs send after each epoch into log lines, lines of JSON, and calls of `on_epoch`."""

    def __init__(self, epochs: int, seeds: list[int], journal: Path, on_epoch: Callable[[list[Progress]], Any]) -> None:
        self.epochs, self.journal, self.on_epoch, self.workers = epochs, journal, on_epoch, 1
        self.so_far: list[Progress] = []
        self.left = dict.fromkeys(seeds, epochs)  # epochs yet to come

    def __call__(self, seed: int, history: dict[str, list[float]], resumed: bool = False) -> None:
        """Report a seed's latest epoch, or that it resumes after it: an epoch whose line was lost when the run was stopped gets it now."""
        epoch = len(history["seconds"])
        self.left[seed] = self.epochs - epoch
        if resumed:
            known = self.journal.read_bytes().splitlines() if self.journal.is_file() else []
            earlier = [_line(Progress.of(seed, self.epochs, history, number)) for number in range(1, epoch + 1)]
            self._write(line for line in earlier if line not in known)
            log.info(f"seed {seed}  resumes after epoch {epoch}/{self.epochs}")
            return
        recent = [line.seconds for line in self.so_far[-20:]] + [history["seconds"][-1]]
        epochs = max(*self.left.values(), sum(self.left.values()) / self.workers)  # of the worker that ends last
        left = sum(recent) / len(recent) * epochs
        progress = Progress.of(seed, self.epochs, history, epoch, left)
        self.so_far.append(progress)
        self._write([_line(progress)])
        log.info(str(progress))
        self.on_epoch(self.so_far)

    def _write(self, lines: Iterable[bytes]) -> None:
        with open(self.journal, "ab") as file:
            file.writelines(line + b"\n" for line in lines)


def _line(progress: Progress) -> bytes:
    return files.canonical({name: value if math.isfinite(value) else None for name, value in vars(progress).items() if name != "left"})
