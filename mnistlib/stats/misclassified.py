"""Which images the seeds misclassify, and which confusions of digits became rarer or more common."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnistlib import data

# Test images, by index, whose label people asked by Northcutt, Athalye and Mueller rejected ("Pervasive Label Errors in
# Test Sets Destabilize Machine Learning Benchmarks", 2021, https://arxiv.org/abs/2103.14749): a majority saw another digit,
# opinions split, or neither the label nor the net's guess was right. They are marked; no score is ever corrected.
LABEL_ERRORS: dict[int, str] = {
    **dict.fromkeys((947, 1621, 1901, 2462, 2597, 3558, 5937, 6651, 6783, 9729), "majority"),
    **dict.fromkeys((2130, 8527), "split"),
    **dict.fromkeys((2654, 3520, 9679), "neither"),
}
Predictions = Sequence[np.ndarray] | np.ndarray  # digits, [n_seeds, n_images]


@dataclass(frozen=True)
class Misclassified:
    """One image and the seeds that misclassify it."""

    index: int  # within the evaluated images
    id: int  # within the original file
    label: int
    prediction: int  # the most frequent wrong prediction; the smallest of equals
    votes: int  # seeds that are wrong
    n_seeds: int
    writer: int
    group: str  # "students" or "census employees"
    label_error: str | None  # why the label is known to be wrong: "majority", "split" or "neither"


@dataclass(frozen=True)
class ConfusionChange:
    """How often a label was taken for another digit before and after a step, in images per seed."""

    label: int
    prediction: int
    before: float
    after: float


def label_errors(split: str) -> dict[int, str]:
    """Return the known label errors among the evaluated images: they are known for the test set only."""
    return LABEL_ERRORS if split == "test" else {}


def wrong(predictions: Predictions, labels: object) -> np.ndarray:
    """Return which images each seed gets wrong, bool [n_seeds, n_images]."""
    return np.stack([np.asarray(row) for row in predictions]) != np.asarray(labels)


def most_misclassified(
    predictions: Predictions, images: data.ImageSet, label_errors: dict[int, str], at_least: int = 1
) -> list[Misclassified]:
    """Return the images that at least so many seeds get wrong, those with most votes first, then by id."""
    table, labels = np.stack([np.asarray(row) for row in predictions]), np.asarray(images.labels)
    votes = (table != labels).sum(0)
    order = sorted(np.flatnonzero(votes >= max(1, at_least)), key=lambda index: (-votes[index], images.ids[index]))
    found = []
    for index in order:
        label = int(labels[index])
        counts = np.bincount(table[:, index][table[:, index] != label])
        found.append(
            Misclassified(
                index=int(index),
                id=int(images.ids[index]),
                label=label,
                prediction=int(counts.argmax()),
                votes=int(counts.sum()),
                n_seeds=len(table),
                writer=int(images.writers[index]),
                group=group_name(images.groups[index]),
                label_error=label_errors.get(int(images.ids[index])),
            )
        )
    return found


def group_name(group: int) -> str:
    """Return who the writers of a NIST partition were."""
    return "students" if group == data.STUDENTS else "census employees"


def accuracy_by_group(wrong: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Return the accuracy on the images of each group of writers."""
    students = np.asarray(groups) == data.STUDENTS
    parts = {"students": students, "census employees": ~students}
    return {name: 1 - float(wrong[:, part].mean()) for name, part in parts.items() if part.any()}


def confusion_matrix(predictions: Predictions, labels: object) -> np.ndarray:
    """Return how many images of each label (rows) are predicted as each digit (columns), averaged over seeds, [10, 10]."""
    table = np.stack([np.asarray(row) for row in predictions]).astype(np.int64)
    pairs = np.asarray(labels, np.int64) * 10 + table
    return np.bincount(pairs.reshape(-1), minlength=100).reshape(10, 10) / len(table)


def confusion_changes(predictions: Predictions, predictions_before: Predictions, labels: object) -> list[ConfusionChange]:
    """Return the confusions whose frequency changed on the same images, the largest decrease first, the largest increase last."""
    after, before = confusion_matrix(predictions, labels), confusion_matrix(predictions_before, labels)
    np.fill_diagonal(after, 0)
    np.fill_diagonal(before, 0)
    moved = [
        ConfusionChange(int(label), int(digit), float(before[label, digit]), float(after[label, digit]))
        for label, digit in np.argwhere(before != after)
    ]
    return sorted(moved, key=lambda change: change.after - change.before)
