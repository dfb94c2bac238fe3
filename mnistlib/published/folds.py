"""Parts of the training images set aside, writer by writer: to steer a run, to cross-validate."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import numpy as np

from mnistlib import data, formatting
from mnistlib.data import Mnist, Part
from mnistlib.errors import DataError, SettingError


def steered(mnist: Mnist, by: str | None) -> tuple[Part, Part | None]:
    """Return the images to train on and those whose accuracy steers the run.

    `by` "validation" takes these from the training images, writers apart as the validation split does; by "judged" they are the
    judged images, a leak, for which None is returned as for no steering at all.
    """
    if by != "validation":
        return mnist.train, None
    halves = data.held_out(mnist)
    if not len(halves.train.ids) or not len(halves.test.ids):
        raise SettingError(
            f"There are {formatting.count(len(mnist.train.ids))} training images, too few to set some aside that steer the run."
        )
    return halves.train, halves.test


def folded(whole: Mnist, fold: int, n_folds: int) -> Mnist:
    """Return the training images alone, one of `n_folds` parts judged: each part has writers of its own, both groups in proportion.

    Raises SettingError for a fold that there is not, DataError where the writers are not known.
    """
    if n_folds < 2:
        raise SettingError(f"n_folds is {n_folds!r}; it must be 2 or more, for one part is judged and the others are trained on.")
    if not (isinstance(fold, int) and 1 <= fold <= n_folds):
        raise SettingError(f"fold is {fold!r}; it must be a whole number from 1 to {formatting.count(n_folds)}.")
    train = whole.train
    if train.writers is None or train.groups is None:
        raise DataError("Cross-validation by writer needs the writers, and QMNIST's files, which name them, were not found.")
    judged = np.zeros(len(train.ids), dtype=bool)
    for group in (train.groups == data.STUDENTS, train.groups != data.STUDENTS):
        writers = np.unique(train.writers[group])
        judged |= group & np.isin(train.writers, writers[data.order(len(writers), data.VALIDATION_SEED)[fold - 1 :: n_folds]])
    split = f"fold {fold} of {n_folds}"
    return replace(whole, split=split, train=train.take(np.flatnonzero(~judged)), test=train.take(np.flatnonzero(judged)))


def load(dataset: str, split: str, limit: int | None = None, data_dir: str | os.PathLike[str] | None = None) -> Mnist:
    """Load the data that a result was judged on, by its split: one of `data.load`'s, or a fold such as "fold 1 of 5"."""
    fold = re.fullmatch(r"fold (\d+) of (\d+)", split)
    if fold is None:
        return data.load(dataset, split, limit, data_dir)
    return folded(data.load(dataset, "test", limit, data_dir), *map(int, fold.groups()))
