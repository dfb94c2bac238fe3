"""Training images set aside: those that steer a run, and the folds of a cross-validation, share no writer with those trained on."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlib import data
from mnistlib.errors import DataError, SettingError
from mnistlib.published import folds


@pytest.fixture(scope="module")
def written() -> data.Mnist:
    """Return a few digits as if forty writers of two groups had written them, some more than others."""
    few = data.load("digits")
    n = len(few.train.ids)
    writers = np.random.default_rng(0).integers(0, 20, n) + np.random.default_rng(1).integers(0, 21, n)
    return replace(few, dataset="mnist", train=replace(few.train, writers=writers, groups=np.where(writers < 20, data.STUDENTS, 0)))


@pytest.fixture(params=["written", "mnist"])
def whole(request) -> data.Mnist:
    """Return images with writers: a few made-up ones, and MNIST's where they are to be had."""
    loaded = request.getfixturevalue(request.param)
    if loaded.train.writers is None:
        pytest.skip("the QMNIST label files were neither found nor downloadable")
    return loaded


def test_the_images_that_steer_have_writers_of_their_own_and_are_not_trained_on(whole):
    part, guide = folds.steered(whole, "validation")
    assert not set(part.writers) & set(guide.writers)
    assert np.array_equal(np.sort(np.concatenate([part.ids, guide.ids])), whole.train.ids)
    assert 0.1 < len(guide.ids) / len(whole.train.ids) < 0.3
    assert np.array_equal(guide.ids, data.held_out(whole).test.ids)  # drawn as the validation split is


@pytest.mark.parametrize("by", [None, "judged"])
def test_nothing_is_set_aside_where_no_training_image_steers(written, by):
    assert folds.steered(written, by) == (written.train, None)


def test_too_few_images_to_set_some_aside_are_told():
    for n in (1, 3):
        with pytest.raises(SettingError, match=f"There are {n} training images, too few to set some aside"):
            folds.steered(data.load("digits", limit=n), "validation")
    assert len(folds.steered(data.load("digits", limit=8), "validation")[1].ids) == 2


@pytest.mark.parametrize("n_folds", [2, 5])
def test_folds_part_the_writers_and_cover_every_training_image_once(whole, n_folds):
    parts = [folds.folded(whole, fold, n_folds) for fold in range(1, n_folds + 1)]
    assert np.array_equal(np.sort(np.concatenate([part.test.ids for part in parts])), whole.train.ids)
    students = (whole.train.groups == data.STUDENTS).mean()
    for place, part in enumerate(parts):
        assert part.split == f"fold {place + 1} of {n_folds}" and part.sha256 == whole.sha256
        assert not set(part.train.writers) & set(part.test.writers)
        assert np.array_equal(np.sort(np.concatenate([part.train.ids, part.test.ids])), whole.train.ids)
        assert (part.test.groups == data.STUDENTS).mean() == pytest.approx(students, abs=0.05 if len(whole.train.ids) > 10_000 else 0.25)
        assert len(part.test.ids) == pytest.approx(len(whole.train.ids) / n_folds, rel=0.05 if len(whole.train.ids) > 10_000 else 0.7)
    assert len({part.split for part in parts}) == n_folds


def test_the_test_images_are_in_no_fold(mnist):
    if mnist.train.writers is None:
        pytest.skip("the QMNIST label files were neither found nor downloadable")
    judged = folds.folded(mnist, 1, 5).test
    assert judged.images.equal(mnist.train.images[judged.ids]) and not set(judged.writers) & set(mnist.test.writers)


@pytest.mark.parametrize(
    ("fold", "n_folds", "words"),
    [
        (0, 5, "fold is 0; it must be a whole number from 1 to 5"),
        (6, 5, "fold is 6"),
        (1.0, 5, "fold is 1.0"),
        (1, 1, "n_folds is 1; it must be 2 or more"),
    ],
)
def test_a_fold_that_there_is_not_is_told(written, fold, n_folds, words):
    with pytest.raises(SettingError, match=words):
        folds.folded(written, fold, n_folds)


def test_folds_need_the_writers():
    with pytest.raises(DataError, match="needs the writers"):
        folds.folded(data.load("digits"), 1, 5)
