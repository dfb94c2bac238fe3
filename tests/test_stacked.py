"""Seeds trained as one stack: the histories, weights and predictions of each are those of a run of its own, to rounding."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mnistlib import data, train
from mnistlib.errors import SettingError, TrainingError
from mnistlib.recipe import Augment, Optimizer, Recipe
from mnistlib.runs import seeds, stacked
from mnistlib.runs.storage import State, load_trial

TINY = Recipe("brisk", Optimizer(lr=0.01), epochs=2, batch_size=64, augment=Augment(rotate=5, shift=1), label_smoothing=0.05)
KEYS = {3: "c", 0: "a", 1: "b"}


@pytest.fixture(scope="module")
def few() -> data.Mnist:
    """Return a few of scikit-learn's digits: what is tested here does not depend on the data."""
    return data.load("digits", limit=300)


@pytest.mark.parametrize("change", [{}, {"averaging": 0.9}, {"optimizer": Optimizer(weight_decay=1e-2, lr=0.02)}])
def test_every_seed_of_a_stack_trains_as_if_alone(few, change):
    recipe = replace(TINY, **change)
    for trial in stacked.fit(recipe, few, KEYS, "cpu"):
        alone = train.train(recipe, few, trial.seed, KEYS[trial.seed])
        assert trial.key == alone.key
        for name, values in vars(alone.history).items():
            if name != "seconds":
                near = 0.005 if "accuracy" in name else 1e-3  # an accuracy moves by whole images
                assert getattr(trial.history, name) == pytest.approx(values, rel=2e-3, abs=near), name
        assert list(trial.weights) == list(alone.weights)
        for name, value in alone.weights.items():
            torch.testing.assert_close(trial.weights[name], value, atol=5e-3, rtol=2e-2)
        assert (trial.predictions == alone.predictions).mean() > 0.97 and trial.predictions.dtype == np.uint8
        assert trial.train_accuracy_clean == pytest.approx(alone.train_accuracy_clean, abs=0.01)


def test_the_seeds_of_a_stack_differ(few):
    first, second, third = stacked.fit(TINY, few, KEYS, "cpu")
    losses = [trial.history.train_loss for trial in (first, second, third)]
    assert losses[0] != losses[1] != losses[2] and [trial.seed for trial in (first, second, third)] == list(KEYS)


def test_an_interrupted_stack_goes_on_where_it_stopped(few):
    recipe = replace(TINY, averaging=0.9)
    kept: dict[int, State] = {}

    def keep(seed: int, now: State) -> None:
        if len(now.history.seconds) == 1:
            kept[seed] = State(
                now.weights, now.momentum, now.average, type(now.history)(**{n: list(v) for n, v in vars(now.history).items()})
            )

    whole = stacked.fit(recipe, few, KEYS, "cpu", after_epoch=keep)
    resumed = stacked.fit(recipe, few, KEYS, "cpu", [kept[seed] for seed in KEYS])
    for one, other in zip(whole, resumed, strict=True):
        assert one.history.test_loss == other.history.test_loss
        assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_what_cannot_be_stacked_says_so(few):
    with pytest.raises(SettingError, match="without dropout can be stacked"):
        stacked.fit(replace(TINY, dropout=0.1), few, KEYS, "cpu")
    with pytest.raises(TrainingError, match="Seed 3 diverged in epoch 1"):
        stacked.fit(Recipe("early", optimizer=Optimizer(lr=100.0, momentum=0.99), epochs=2, batch_size=20), few, {3: "c"}, "cpu")


@pytest.mark.parametrize(("dropout", "expected"), [(0.0, [2]), (0.05, [])])
def test_seeds_are_stacked_a_bounded_number_at_a_time_and_stored(few, dropout, expected, tmp_path, monkeypatch):
    """The way that a GPU takes, here on the CPU: a stack of two and a single one, or one by one where a recipe has dropout."""
    sizes: list[int] = []

    def counted(recipe, mnist, keys, *rest):
        sizes.append(len(keys))
        return plain(recipe, mnist, keys, *rest)

    plain = stacked.fit
    monkeypatch.setattr(stacked, "fit", counted)
    monkeypatch.setattr(stacked, "TOGETHER", 2)
    recipe, seen = replace(TINY, dropout=dropout), []
    keys = {seed: seeds.key(recipe, few, seed) for seed in (5, 6, 7)}
    seeds._in_stacks(recipe, few, keys, "cpu", tmp_path, lambda seed, history, resumed=False: seen.append(seed))
    assert sizes == expected and sorted(seen) == [5, 5, 6, 6, 7, 7]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{key}.trial" for key in keys.values())
    assert all(load_trial(tmp_path / f"{key}.trial", key).seed == seed for seed, key in keys.items())
