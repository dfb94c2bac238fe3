"""MNIST and its writers as verified tensors; splits; the offline sample."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mnistlib import digits, files, formatting, sources
from mnistlib.errors import DataError, SettingError, nearest

MEAN, SD = 0.1307, 0.3081  # of the training images, as fractions of white
DATASETS = ("auto", "mnist", "digits")
SPLITS = ("test", "validation")
N_TRAIN = 60_000  # images in the training file
STUDENTS = 4  # the NIST partition (hsf) written by students; the others are census employees'
VALIDATION_SEED = 20_240  # decides which writers, or images, are held out; fixed before any training
VALIDATION_IMAGES = 10_000  # about as many, half from each group of writers
LIMIT_SEED = 8_000  # decides which training images come first under a limit
DIGITS_JUDGED = 497  # the last of scikit-learn's digits are the offline sample's test images
DIGITS_VALIDATION = 300  # of its remaining digits, the last are held out by the validation split


@dataclass(frozen=True)
class Part:
    """Images for training or for judging."""

    images: Tensor  # uint8 [n, 28, 28]
    labels: Tensor  # int64 [n]
    ids: np.ndarray  # int64 [n]: index in the original file, which for a validation split is the training file
    writers: np.ndarray | None = None  # int64 [n]: QMNIST's writer ids; None when not known
    groups: np.ndarray | None = None  # int64 [n]: NIST partition, students or one of the census employees'; None when not known

    def take(self, index: np.ndarray) -> Part:
        """Return the images at `index`, in that order."""
        chosen = torch.from_numpy(index)
        writers, groups = (None if values is None else values[index] for values in (self.writers, self.groups))
        return Part(self.images[chosen], self.labels[chosen], self.ids[index], writers, groups)


@dataclass(frozen=True)
class Mnist:
    """A data set split in two, with what a reader has to know of it."""

    dataset: str  # "mnist" or "digits", the offline sample
    split: str  # "test" or "validation"
    limit: int | None  # training images asked for; None is all
    train: Part
    test: Part  # the images judged: with split "validation", those held out of the training file
    sha256: str  # of all that was loaded, and of the rules that split it
    origin: str  # where the bytes were, in words for a reader
    notes: tuple[str, ...] = ()  # sentences that every page must show

    @property
    def by_writer(self) -> bool:
        """Say whether the writer of each image is known."""
        return self.test.writers is not None


def load(
    dataset: str = "auto",
    split: str = "test",
    limit: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    show: Callable[[str], None] = print,
    mnist: sources.Collection = sources.MNIST,
    qmnist: sources.Collection = sources.QMNIST,
) -> Mnist:
    """Load a data set, verified byte by byte, and split it.

    "auto" is MNIST, or with a warning the offline sample where MNIST is neither found nor downloadable. `show` gets a
    sentence for each download and each bad file. Raise SettingError for a setting out of range, DataError for bad data.
    """
    for name, value, allowed in (("dataset", dataset, DATASETS), ("split", split, SPLITS)):
        if value not in allowed:
            raise SettingError(f"{name} is {value!r}; it must be {_either(allowed)}.{nearest(value, allowed)}")
    _check_limit(limit, N_TRAIN)  # before anything is read; the split's own number is checked once it is known
    try:
        whole = _digits() if dataset == "digits" else _mnist(data_dir, show, mnist, qmnist)
    except sources.NotFound as error:
        if dataset == "mnist":
            raise
        warnings.warn(f"{error} Scikit-learn's digits, an offline sample that is not MNIST, take its place.", stacklevel=2)
        whole = _digits()
    whole = held_out(whole) if split == "validation" else whole
    if dataset == "auto" and limit is not None and whole.dataset == "digits" and limit > len(whole.train.ids):
        whole, limit = (
            replace(whole, notes=(*whole.notes, f"It has fewer than {formatting.count(limit)} training images; all are used.")),
            None,
        )
    return _limited(whole, limit)


def _mnist(
    data_dir: str | os.PathLike[str] | None, show: Callable[[str], None], mnist: sources.Collection, qmnist: sources.Collection
) -> Mnist:
    """Return MNIST with split "test", and with its writers where their files can be had."""
    contents, origin = sources.gather(mnist, data_dir, show)
    images = [_idx(content, 3, np.uint8).reshape(-1, 28, 28) for content in contents[0::2]]
    labels = [_idx(content, 1, np.uint8).astype(np.int64) for content in contents[1::2]]
    writers: list[np.ndarray | None] = [None, None]
    groups: list[np.ndarray | None] = [None, None]
    loaded, notes = list(mnist.files), ()
    try:
        tables = [_idx(content, 2, ">i4").reshape(-1, 8) for content in sources.gather(qmnist, data_dir, show)[0]]
        writers, groups = zip(*(_writers(table, classes) for table, classes in zip(tables, labels, strict=True)), strict=True)
        loaded += qmnist.files
    except sources.NotFound as error:
        show(f"Training goes on without the writers: {error}")
        notes = ("Who wrote each digit is not known here, so intervals are over images instead of writers, and too narrow.",)
    train, test = (
        Part(torch.from_numpy(image), torch.from_numpy(label), np.arange(len(label)), writer, group)
        for image, label, writer, group in zip(images, labels, writers, groups, strict=True)
    )
    key = _key([file.sha256 for file in loaded], VALIDATION_SEED, VALIDATION_IMAGES, LIMIT_SEED)
    return Mnist("mnist", "test", None, train, test, key, origin, notes)


def _idx(content: bytes, n_dimensions: int, dtype: str | type) -> np.ndarray:
    """Return the values of a verified IDX file, writable and flat; its header says nothing that its sha256 did not."""
    return np.frombuffer(content, dtype, offset=4 + 4 * n_dimensions).copy()


def _writers(table: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return writer and NIST partition of the images that a QMNIST table begins with, or raise DataError where classes differ."""
    table = table[: len(classes)].astype(np.int64)
    if not np.array_equal(table[:, 0], classes):
        raise DataError("QMNIST's classes are not MNIST's labels, so its writers cannot be trusted.")
    return table[:, 2].copy(), table[:, 1].copy()


def _digits() -> Mnist:
    """Return the offline sample with split "test"."""
    images, labels = digits.load()
    whole = Part(torch.from_numpy(images), torch.from_numpy(labels), np.arange(len(labels)))
    train, test = np.split(whole.ids, [-DIGITS_JUDGED])
    note = (
        f"This is an offline sample and not MNIST: scikit-learn's {formatting.count(len(labels))} handwritten digits, enlarged. "
        "Its figures say nothing about MNIST, and its intervals are over images, since its writers are not known."
    )
    key = _key([files.sha256(images.tobytes()), files.sha256(labels.tobytes())], DIGITS_JUDGED, DIGITS_VALIDATION, LIMIT_SEED)
    return Mnist("digits", "test", None, whole.take(train), whole.take(test), key, "scikit-learn", (note,))


def held_out(whole: Mnist) -> Mnist:
    """Return split "validation": a part of the training images is judged, and neither trained on nor in the test set.

    With writers known, whole writers are drawn from each of the two groups until it has given half of the images.
    Without, MNIST's are drawn image by image, and the offline sample gives its last ones. Of fewer images than MNIST has, fewer in
    proportion.
    """
    train, notes = whole.train, whole.notes
    held = np.zeros(len(train.ids), dtype=bool)
    if whole.dataset == "digits":
        held[len(held) - min(DIGITS_VALIDATION, len(held) // 4) :] = True
    elif train.writers is None or train.groups is None:
        held[order(len(held), VALIDATION_SEED)[: VALIDATION_IMAGES * len(held) // N_TRAIN]] = True
        notes = (*notes, "The validation images are drawn at random and share their writers with the training images, which flatters.")
    else:
        for group in (train.groups == STUDENTS, train.groups != STUDENTS):
            writers, counts = np.unique(train.writers[group], return_counts=True)
            drawn = order(len(writers), VALIDATION_SEED)
            n_drawn = 1 + int(np.searchsorted(np.cumsum(counts[drawn]), VALIDATION_IMAGES * len(held) // N_TRAIN // 2))
            held |= group & np.isin(train.writers, writers[drawn[:n_drawn]])
    return replace(whole, split="validation", train=train.take(np.flatnonzero(~held)), test=train.take(np.flatnonzero(held)), notes=notes)


def order(n: int, seed: int) -> np.ndarray:
    """Return a permutation of `n` that no version of NumPy changes: its authors promise that of the bit generators' raw output alone."""
    return np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")


def _limited(mnist: Mnist, limit: int | None) -> Mnist:
    """Return the data set with the first `limit` training images of a fixed permutation, in the file's order."""
    if limit is None:
        return mnist
    n = len(mnist.train.ids)
    _check_limit(limit, n)
    return replace(mnist, limit=limit, train=mnist.train.take(np.sort(order(n, LIMIT_SEED)[:limit])))


def _check_limit(limit: object, n_train: int) -> None:
    """Raise SettingError unless `limit` is None or a whole number of training images that there are."""
    whole = isinstance(limit, int) and not isinstance(limit, bool)
    if limit is not None and not (whole and 1 <= limit <= n_train):
        raise SettingError(f"limit is {limit!r}; it must be None, for all, or a whole number from 1 to {formatting.count(n_train)}.")


def _key(hashes: list[str], *rules: int) -> str:
    """Return the sha256 of what was loaded and of the numbers that decide how it is split."""
    return files.sha256(files.canonical({"files": hashes, "rules": rules}))


def _either(allowed: tuple[str, ...]) -> str:
    """Return names as a choice: "'test' or 'validation'"."""
    return ", ".join(map(repr, allowed[:-1])) + f" or {allowed[-1]!r}"


def normalise(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return images, bytes `[n, 28, 28]`, as a net's input `[n, 1, 28, 28]` of mean zero and unit variance over the training set."""
    return standardise(images.unsqueeze(1).to(dtype))


def standardise(pixels: Tensor) -> Tensor:
    """Bring pixels from 0 to 255 to mean zero and unit variance over the training set, in place, and return them."""
    return pixels.sub_(255 * MEAN).div_(255 * SD)
