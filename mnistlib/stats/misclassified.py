"""Which images the seeds misclassify, and as which digits."""

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
GROUPS = ("students", "census employees")
DIGITS = 10
MANY = 20  # misclassified images that are shown, at most


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
    group: str  # one of GROUPS
    label_error: str | None  # why the label is known to be wrong: "majority", "split" or "neither"
    confidence: float | None = None  # the mean probability of what those seeds predict; None where it is not known


def label_errors(split: str) -> dict[int, str]:
    """Return the known label errors among the evaluated images: they are known for the test set only."""
    return LABEL_ERRORS if split == "test" else {}


def wrong(predictions: Predictions, labels: object) -> np.ndarray:
    """Return which images each seed gets wrong, bool [n_seeds, n_images]."""
    return np.asarray(predictions) != np.asarray(labels)


def most_misclassified(
    predictions: Predictions, images: data.ImageSet, label_errors: dict[int, str], confidences: np.ndarray | None = None
) -> list[Misclassified]:
    """Return the images that seeds get wrong, those with most votes first, then by id."""
    table, labels, groups = np.asarray(predictions), np.asarray(images.labels), group_names(images.groups)
    votes = wrong(table, labels).sum(0)
    found = []
    for index in sorted(np.flatnonzero(votes), key=lambda index: (-votes[index], images.ids[index])):
        label = int(labels[index])
        off = table[:, index] != label
        counts = np.bincount(table[:, index][off])
        found.append(
            Misclassified(
                index=int(index),
                id=int(images.ids[index]),
                label=label,
                prediction=int(counts.argmax()),
                votes=int(counts.sum()),
                n_seeds=len(table),
                writer=int(images.writers[index]),
                group=str(groups[index]),
                label_error=label_errors.get(int(images.ids[index])),
                confidence=None if confidences is None else float(confidences[off, index].mean()),
            )
        )
    return found


def group_names(groups: np.ndarray) -> np.ndarray:
    """Return who the writers of NIST partitions were: one of GROUPS for each."""
    return np.where(np.asarray(groups) == data.STUDENTS, *GROUPS)


def accuracy_by_group(wrong: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Return the accuracy on the images of each group of writers."""
    names = group_names(groups)
    return {name: 1 - float(wrong[:, names == name].mean()) for name in GROUPS if name in names}


def confusion_matrix(predictions: Predictions, labels: object) -> np.ndarray:
    """Return how many images of each label (rows) are predicted as each digit (columns), averaged over seeds, [10, 10]."""
    pairs = np.asarray(labels, np.int64) * 10 + np.asarray(predictions)
    return np.bincount(pairs.reshape(-1), minlength=100).reshape(10, 10) / len(pairs)
