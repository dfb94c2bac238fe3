"""Small made-up runs and results, for tests of figures, tables and pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mnistlib import data, steps
from mnistlib.report.result import Result
from mnistlib.runs.run import Run
from mnistlib.stats import comparison, misclassified, summary
from mnistlib.train import History

N = 1_000  # images
LABELS = torch.arange(N) % 10


def history(final: float, epochs: int = 3, train: float = 0.98, loss: float = 0.03) -> History:
    """Return a history that climbs in equal steps to the accuracy that it ends at."""
    climb, fall = np.linspace(0.9, 1, epochs), np.linspace(10, 1, epochs)
    accuracy = np.round(final * climb * N) / N
    return History(list(2 * loss * fall), list(train * climb), list(loss * fall), list(accuracy), [0.05] * epochs, [1.25] * epochs)


def run(seed: int, n_wrong: int, epochs: int = 3) -> Run:
    """Return a finished seed that misclassifies the first images, each as the next digit."""
    predictions = LABELS.numpy().astype(np.uint8)
    predictions[:n_wrong] = (predictions[:n_wrong] + 1) % 10
    return Run(seed, history(1 - n_wrong / N, epochs), N, 0.999, weights={}, predictions=predictions, confidences=np.ones(N, np.float32))


def images(n: int = N) -> data.ImageSet:
    """Return images that hold every level of grey about equally often, twenty by each writer, 30% of them by students."""
    pixels = torch.arange(256, dtype=torch.uint8).repeat(n * 784 // 256 + 1)[: 784 * n].reshape(n, 28, 28)
    writers = np.arange(n) // 20
    return data.ImageSet(pixels, LABELS[:n], np.arange(n), writers, np.where(writers < 15, data.STUDENTS, 0))


def mnist(split: str = "test", n_train: int = N) -> data.Mnist:
    """Return a small data set."""
    return data.Mnist(split, None, images(n_train), images(), "d" * 64)


def result(step: str = "03_augment", n_wrong: tuple[int, ...] = (4, 5, 8), verdict: bool = True, **changed: Any) -> Result:
    """Return the result of a step whose seeds misclassify so many of a thousand images."""
    runs, own, images_ = [run(seed, n) for seed, n in enumerate(n_wrong)], steps.get(step), images()
    wrong = misclassified.wrong([one.predictions for one in runs], LABELS)
    confidences, losses = np.stack([one.confidences for one in runs]), [one.history.eval_loss[-1] for one in runs]
    curves = [one.history.eval_accuracy for one in runs]
    found = summary.summarise(curves, wrong, images_.writers, images_.groups, confidences, losses)
    values = {
        "step": step, "title": own.title, "split": "test", "train_limit": None, "n_train": N, "n_eval": N, "model": own.recipe.model,
        "n_parameters": 7_706, "n_macs": 432_160, "receptive_field": 22, "epochs": 3, "recipe": own.recipe, "claim": None,
        "runs": tuple(runs), "summary": found, "difference": None, "since_first": None,
        "verdict": comparison.verdict(7_706, 3, found) if verdict else None, "claims": (),
        "provenance": {"started": "2026-03-04T05:06:07Z", "seconds": 75.0, "commit": "abc", "gpu": None},
        "keys": {"notebook": None, "recipe": "e" * 64, "data": "d" * 64},
        "predictions": "f" * 64,
    }  # fmt: skip
    return Result(**values | changed)
