"""The data file is the known one byte for byte, split by writer by a fixed rule; the script that makes it trusts no other originals."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import runpy
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mnistlib import data, files
from mnistlib.errors import DataError, SettingError

SCRIPT = Path(__file__).parents[1] / "scripts" / "make_mnist.py"


def test_mnist_is_whole(mnist):
    for part, n in ((mnist.train, 60_000), (mnist.eval, 10_000)):
        assert part.images.shape == (n, 28, 28) and part.images.dtype == torch.uint8 and part.images.is_contiguous()
        assert part.labels.shape == (n,) and part.labels.dtype == torch.int64
        assert np.array_equal(part.ids, np.arange(n))
    assert mnist.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.eval.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert torch.bincount(mnist.eval.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert files.sha256(data.FILE) == data.SHA256 and (mnist.split, mnist.train_limit) == ("test", None)


@pytest.mark.parametrize("change", ["a bit", "the end", "all"])
def test_a_changed_file_is_refused(tmp_path, monkeypatch, change):
    content = data.FILE.read_bytes()
    middle = len(content) // 2
    changed = {"a bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :], "the end": content[:-1], "all": b""}
    monkeypatch.setattr(data, "FILE", files.write(tmp_path / "mnist.npz", changed[change]))
    with pytest.raises(DataError, match="sha256"):
        data._read.__wrapped__()  # not what was read before


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "FILE", tmp_path / "mnist.npz")
    with pytest.raises(DataError, match="mnist.npz"):
        data._read.__wrapped__()


def test_mean_and_sd_are_those_of_the_training_images(mnist):
    pixels = mnist.train.images.unsqueeze(1).float()
    assert data.normalise(pixels) is pixels
    assert abs(pixels.mean().item()) < 2e-3 and abs(pixels.std().item() - 1) < 2e-3
    assert mnist.train.images.max() == 255  # the images themselves are left as they were


def test_writers_are_those_of_qmnist(mnist):
    train, test = mnist.train, mnist.eval
    assert (len(set(train.writers)), len(set(test.writers))) == (539, 297)
    assert not set(train.writers) & set(test.writers)
    students = test.groups == data.STUDENTS
    assert (len(set(test.writers[students])), int(students.sum())) == (249, 5001)
    assert (len(set(test.writers[~students])), int((~students).sum())) == (48, 4999)


def test_validation_writers_are_in_no_other_split(mnist, validation):
    assert (len(validation.train.ids), len(validation.eval.ids)) == (49_935, 10_065)
    trained, held, tested = (set(part.writers) for part in (validation.train, validation.eval, mnist.eval))
    assert not trained & held and not trained & tested and not held & tested
    assert trained | held == set(mnist.train.writers)
    assert np.array_equal(np.sort(np.concatenate([validation.train.ids, validation.eval.ids])), np.arange(60_000))


def test_validation_holds_out_half_from_each_group(validation):
    students = validation.eval.groups == data.STUDENTS
    for n, writers in ((students.sum(), validation.eval.writers[students]), ((~students).sum(), validation.eval.writers[~students])):
        largest = np.unique(writers, return_counts=True)[1].max()
        assert 5000 <= n < 5000 + largest
    share = np.bincount(validation.eval.labels.numpy(), minlength=10) / len(validation.eval.ids)
    assert (np.abs(share - 0.1) < 0.02).all()


def test_parts_of_a_split_hold_their_own_images(mnist, validation):
    for part in (validation.train, validation.eval):
        index = torch.from_numpy(part.ids)
        assert torch.equal(part.images, mnist.train.images[index]) and torch.equal(part.labels, mnist.train.labels[index])
        assert np.array_equal(part.writers, mnist.train.writers[part.ids])
        assert np.array_equal(part.groups, mnist.train.groups[part.ids])


def test_the_validation_split_is_the_one_that_choices_were_made_on(validation):
    assert files.sha256(validation.eval.ids.astype("<i8").tobytes()) == "ae26ffef8b947396b7833e161bcaf81ba409867af8b9fa844698fa50724858c3"


@pytest.mark.parametrize("n_folds", [2, 5])
def test_folds_part_the_writers_and_cover_every_training_image_once(mnist, n_folds):
    parts = [data.load(f"fold {fold} of {n_folds}") for fold in range(1, n_folds + 1)]
    assert np.array_equal(np.sort(np.concatenate([part.eval.ids for part in parts])), np.arange(60_000))
    students = (mnist.train.groups == data.STUDENTS).mean()
    for place, part in enumerate(parts):
        assert part.split == f"fold {place + 1} of {n_folds}" and part.sha256 == mnist.sha256
        assert not set(part.train.writers) & set(part.eval.writers) and not set(part.eval.writers) & set(mnist.eval.writers)
        assert np.array_equal(np.sort(np.concatenate([part.train.ids, part.eval.ids])), np.arange(60_000))
        assert (part.eval.groups == data.STUDENTS).mean() == pytest.approx(students, abs=0.05)
        assert len(part.eval.ids) == pytest.approx(60_000 / n_folds, rel=0.05)


def test_a_split_of_few_images_keeps_the_proportions():
    held = data.validation_split(data.load(train_limit=6_000))
    assert held.split == "validation" and len(held.train.ids) + len(held.eval.ids) == 6_000
    assert not set(held.train.writers) & set(held.eval.writers)
    assert 1_000 <= len(held.eval.ids) < 1_100


def test_a_limit_takes_the_same_mixed_images_each_time(mnist):
    small, large = (data.load(train_limit=limit) for limit in (500, 6000))
    assert (small.train_limit, len(small.train.ids), len(small.eval.ids)) == (500, 500, 10_000)
    assert set(small.train.ids) < set(large.train.ids)
    assert np.bincount(small.train.labels.numpy(), minlength=10).min() > 25
    assert torch.equal(small.train.images, mnist.train.images[torch.from_numpy(small.train.ids)])
    assert files.sha256(small.train.ids.astype("<i8").tobytes()) == "555ac9a6fdfdc9a1c297d6121de8934bd14a40c323d7f9b1601f42ac16ed0fbc"
    assert small.sha256 == mnist.sha256
    assert torch.equal(data.load(train_limit=60_000).train.images, mnist.train.images)


def test_a_limit_above_the_validation_splits_training_images_is_named():
    assert len(data.load("validation", 49_935).train.ids) == 49_935
    with pytest.raises(SettingError, match="49,935"):
        data.load("validation", train_limit=49_936)


@pytest.mark.parametrize("limit", [0, -1, 60_001, 1.5, 100.0, "x", True, [5]])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(SettingError, match="60,000"):
        data.load(train_limit=limit)


@pytest.mark.parametrize(
    "split", ["validate", None, ["test"], "fold 0 of 5", "fold 6 of 5", "fold 1 of 1", "fold 1.0 of 5", "fold -1 of 5", "fold 1 of 5 "]
)
def test_an_unknown_split_is_refused(split):
    with pytest.raises(SettingError, match="split"):
        data.load(split)


def test_loading_is_fast():
    started = time.process_time()
    data._read.__wrapped__()
    assert time.process_time() - started < 2.5  # about half a second; the rest is for a slow machine


def test_parts_pickle_no_larger_than_their_arrays(few):
    assert len(pickle.dumps(few.eval)) < few.eval.images.numel() + 40 * len(few.eval.ids) + 10_000


# The script that makes the file


def originals(mnist: data.Mnist, folder: Path) -> dict[str, str]:
    """Write originals as the data file gives them, one of them compressed, and return their sha256."""
    known = {}
    for split, prefix, part in (("train", "train", mnist.train), ("test", "t10k", mnist.eval)):
        table = np.zeros((len(part.ids), 8), ">i4")
        table[:, 0], table[:, 1], table[:, 2] = part.labels, part.groups, part.writers
        for name, offset, values in (
            (f"{prefix}-images-idx3-ubyte", 16, part.images.numpy()),
            (f"{prefix}-labels-idx1-ubyte", 8, part.labels.numpy().astype(np.uint8)),
            (f"qmnist-{split}-labels-idx2-int", 12, table),
        ):
            content = bytes(offset) + values.tobytes()
            known[name] = hashlib.sha256(content).hexdigest()
            packed = name.startswith("qmnist-test")
            files.write(folder / prefix / (f"{name}.gz" if packed else name), gzip.compress(content) if packed else content)
    return known


@pytest.mark.slow
def test_the_file_is_made_from_the_originals(mnist, tmp_path):
    script = runpy.run_path(str(SCRIPT))
    known = originals(mnist, tmp_path)
    settings = script["main"].__globals__
    for name in known:
        if not name.startswith("qmnist"):  # only their headers differ from the true originals
            assert name in settings["SHA256"]
    settings |= {"SHA256": known, "OUT": tmp_path / "made.npz"}
    script["main"](tmp_path)
    with np.load(tmp_path / "made.npz") as made, np.load(data.FILE) as there:
        assert made.files == there.files
        for name in there.files:
            assert made[name].dtype == there[name].dtype and np.array_equal(made[name], there[name]), name


@pytest.mark.parametrize(
    ("content", "word"), [(None, "train-images"), (b"another", "sha256"), (gzip.compress(b"another", mtime=0), "sha256")]
)
def test_other_originals_are_refused(tmp_path, content, word):
    if content is not None:
        files.write(tmp_path / "train-images-idx3-ubyte.gz", content)
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and word in done.stderr and "Traceback" not in done.stderr
