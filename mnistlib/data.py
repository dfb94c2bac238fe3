"""MNIST and its writers as tensors, split by writer."""

import functools
import hashlib
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnistlib.errors import DataError, SettingError

FILE = Path(__file__).parent / "mnist.npz"  # made by scripts/make_mnist.py
SHA256 = "03659e8dcc103e8c4c83f1698bd1e3d9d2d47d8b1d32e2443c96c3699301a329"
MEAN, SD = 0.1307, 0.3081  # of the training images' pixels, from 0 (black) to 1 (white)
N_TRAIN = 60_000
STUDENTS = 4  # the NIST partition written by students; the others were written by census employees
VALIDATION_SEED, VALIDATION_IMAGES = 20_240, 10_000  # which writers are held out, and about how many images that makes
LIMIT_SEED = 8_000  # which training images come first under a limit
DIGEST = hashlib.sha256(f"{SHA256} {VALIDATION_SEED} {VALIDATION_IMAGES} {LIMIT_SEED}".encode()).hexdigest()  # of images and split rules


@dataclass(frozen=True)
class ImageSet:
    """Images with their labels and writers."""

    images: Tensor  # uint8 [n, 28, 28]
    labels: Tensor  # int64 [n]
    ids: np.ndarray  # int64 [n]: place in the original file
    writers: np.ndarray  # int64 [n]: QMNIST's writer ids
    groups: np.ndarray  # int64 [n]: NIST partition, STUDENTS or one of the census employees'

    def subset(self, index: np.ndarray) -> "ImageSet":
        """Return the images at `index`, in that order."""
        at = torch.from_numpy(index)
        return ImageSet(self.images[at], self.labels[at], self.ids[index], self.writers[index], self.groups[index])


@dataclass(frozen=True)
class Mnist:
    """MNIST split in two: images to train on, and images to evaluate on."""

    split: str  # "test", "validation" or "fold 1 of 5"
    train_limit: int | None  # training images asked for; None: all
    train: ImageSet
    eval: ImageSet  # with split "test" the test images, else training images whose writers are held out
    sha256: str = DIGEST


@functools.cache
def _read() -> tuple[ImageSet, ImageSet]:
    """Return the training and the test images; raise DataError where the file's sha256 is another."""
    content = FILE.read_bytes() if FILE.is_file() else b""
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise DataError(f"{FILE.name} is missing or was changed: its sha256 differs. Install mnistlib again, or restore the file from Git.")
    arrays, parts = np.load(io.BytesIO(content)), []
    for split in ("train", "test"):
        labels, writers, groups = (arrays[f"{split}_{name}"].astype(np.int64) for name in ("labels", "writers", "partitions"))
        images = torch.from_numpy(arrays[f"{split}_images"])
        parts.append(ImageSet(images, torch.from_numpy(labels), np.arange(len(labels)), writers, groups))
    return parts[0], parts[1]


def load(split: str = "test", train_limit: int | None = None) -> Mnist:
    """Load MNIST with the split "test", "validation" or "fold K of N"; `train_limit` keeps that many training images."""
    mnist = Mnist("test", None, *_read())
    mnist = mnist if split == "test" else validation_split(mnist, split)
    if train_limit is None:
        return mnist
    n = len(mnist.train.ids)
    if type(train_limit) is not int or not 1 <= train_limit <= n:
        raise SettingError(f"train_limit is {train_limit!r}; it must be None, for all, or a whole number from 1 to {n:,}.")
    return replace(mnist, train_limit=train_limit, train=mnist.train.subset(np.sort(random_order(n, LIMIT_SEED)[:train_limit])))


def validation_split(mnist: Mnist, split: str = "validation") -> Mnist:
    """Return the training images alone, those of some writers held out for evaluation.

    "validation" holds out about a sixth of the images, half of them from each group of writers; "fold K of N" the K-th of N parts.
    """
    fold = re.fullmatch(r"fold (\d+) of (\d+)", str(split))
    k, n_folds = map(int, fold.groups()) if fold else (1, 2)
    if not (fold or split == "validation") or not 1 <= k <= n_folds or n_folds < 2:
        raise SettingError(f"split is {split!r}; it must be 'test', 'validation' or 'fold K of N', such as 'fold 1 of 5'.")
    train, held = mnist.train, np.zeros(len(mnist.train.ids), dtype=bool)
    for group in (train.groups == STUDENTS, train.groups != STUDENTS):
        writers, counts = np.unique(train.writers[group], return_counts=True)
        order = random_order(len(writers), VALIDATION_SEED)
        enough = np.searchsorted(np.cumsum(counts[order]), VALIDATION_IMAGES * len(held) // N_TRAIN // 2)
        chosen = order[k - 1 :: n_folds] if fold else order[: 1 + int(enough)]
        held |= group & np.isin(train.writers, writers[chosen])
    return replace(mnist, split=split, train=train.subset(np.flatnonzero(~held)), eval=train.subset(np.flatnonzero(held)))


def random_order(n: int, seed: int) -> np.ndarray:
    """Return a permutation of `n` that no version of NumPy changes: only the raw output of its bit generators is promised to stay."""
    return np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")


def normalise(pixels: Tensor) -> Tensor:
    """Bring float pixels from 0 to 255 to mean zero and unit variance over the training images, in place, and return them."""
    return pixels.sub_(255 * MEAN).div_(255 * SD)
