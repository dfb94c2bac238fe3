"""Which images the seeds get wrong, as what, and which kinds of error went and came since the step before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mnistlib.data import STUDENTS

# Test images, by index, whose label people asked by Northcutt, Athalye and Mueller rejected ("Pervasive Label Errors in
# Test Sets Destabilize Machine Learning Benchmarks", 2021, https://arxiv.org/abs/2103.14749): a majority saw another digit,
# opinions split, or neither the label nor the net's guess was right. They are shown apart; no score is ever corrected.
WRONG_LABELS: dict[int, str] = {
    **dict.fromkeys((947, 1621, 1901, 2462, 2597, 3558, 5937, 6651, 6783, 9729), "majority"),
    **dict.fromkeys((2130, 8527), "split"),
    **dict.fromkeys((2654, 3520, 9679), "neither"),
}


class Judged(Protocol):
    """The images that a net is judged on, as `data.Part` holds them."""

    labels: object  # int64 [n]
    ids: np.ndarray
    writers: np.ndarray | None
    groups: np.ndarray | None


@dataclass(frozen=True)
class Mistake:
    """One image and the seeds that get it wrong."""

    index: int  # within the judged images
    id: int  # within the original file
    label: int
    prediction: int  # the wrong digit that most seeds read; the smallest of equals
    votes: int  # seeds that are wrong
    n_seeds: int
    writer: int | None
    group: str | None  # "students" or "census employees"
    known: str | None  # why the label is known to be wrong: "majority", "split" or "neither"


def known(dataset: str, split: str) -> dict[int, str]:
    """Return the known wrong labels among the images judged: those of MNIST's test set, none elsewhere."""
    return WRONG_LABELS if (dataset, split) == ("mnist", "test") else {}


def wrong(predictions: Sequence[np.ndarray] | np.ndarray, labels: object) -> np.ndarray:
    """Return which images each seed gets wrong, bool [n_seeds, n_images]."""
    return np.stack([np.asarray(row) for row in predictions]) != np.asarray(labels)


def most_mistaken(
    predictions: Sequence[np.ndarray] | np.ndarray, judged: Judged, wrong_labels: dict[int, str], least: int = 1
) -> list[Mistake]:
    """Return the images that at least `least` seeds get wrong, those with most votes first, then by id."""
    table, labels = np.stack([np.asarray(row) for row in predictions]), np.asarray(judged.labels)
    votes = (table != labels).sum(0)
    order = sorted(np.flatnonzero(votes >= max(1, least)), key=lambda index: (-votes[index], judged.ids[index]))
    return [_mistake(int(index), table[:, index], int(labels[index]), judged, wrong_labels) for index in order]


def _mistake(index: int, read: np.ndarray, label: int, judged: Judged, wrong_labels: dict[int, str]) -> Mistake:
    """Describe one image by what the seeds read in it, [n_seeds]."""
    counts = np.bincount(read[read != label])
    return Mistake(
        index=index,
        id=int(judged.ids[index]),
        label=label,
        prediction=int(counts.argmax()),
        votes=int(counts.sum()),
        n_seeds=len(read),
        writer=None if judged.writers is None else int(judged.writers[index]),
        group=None if judged.groups is None else group_name(judged.groups[index]),
        known=wrong_labels.get(int(judged.ids[index])),
    )


def group_name(group: int) -> str:
    """Return what the writers of a NIST partition were."""
    return "students" if group == STUDENTS else "census employees"


def by_group(wrong: np.ndarray, groups: np.ndarray | None) -> dict[str, float]:
    """Return the accuracy on each writer group's images; empty where groups are not known."""
    if groups is None:
        return {}
    students = np.asarray(groups) == STUDENTS
    parts = {"students": students, "census employees": ~students}
    return {name: 1 - float(wrong[:, part].mean()) for name, part in parts.items() if part.any()}


def confusion(predictions: Sequence[np.ndarray] | np.ndarray, labels: object) -> np.ndarray:
    """Return how many images of each label (rows) are read as each digit (columns), averaged over seeds, [10, 10]."""
    table = np.stack([np.asarray(row) for row in predictions]).astype(np.int64)
    pairs = np.asarray(labels, np.int64) * 10 + table
    return np.bincount(pairs.reshape(-1), minlength=100).reshape(10, 10) / len(table)


@dataclass(frozen=True)
class Change:
    """One kind of error before and after a step, in images per seed."""

    label: int
    prediction: int
    before: float
    after: float


def changes(
    predictions: Sequence[np.ndarray] | np.ndarray, predictions_before: Sequence[np.ndarray] | np.ndarray, labels: object
) -> list[Change]:
    """Return the kinds of error whose frequency changed on the same images: those that went most first, that came most last."""
    after, before = confusion(predictions, labels), confusion(predictions_before, labels)
    moved = [
        Change(label, digit, float(before[label, digit]), float(after[label, digit]))
        for label in range(10)
        for digit in range(10)
        if label != digit and before[label, digit] != after[label, digit]
    ]
    return sorted(moved, key=lambda change: change.after - change.before)
