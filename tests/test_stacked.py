"""Seeds trained as one stack: the histories, weights and predictions of each are those of a run of its own, to rounding."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from mnistlib.augment import Augment
from mnistlib.errors import SettingError, TrainingError
from mnistlib.recipe import Optimizer, Recipe
from mnistlib.runs import cache, run, seeds, stacked

TINY = Recipe(
    "selection.nets:strided_pool",
    Optimizer(lr=0.01),
    epochs=2,
    batch_size=64,
    augment=Augment(degrees=5, translate=1, elastic=0.5),
    label_smoothing=0.05,
)
SEEDS = [3, 0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("change", [{}, {"ema_decay": 0.9}, {"optimizer": Optimizer(weight_decay=1e-2, lr=0.02), "schedule": None}])
def test_every_seed_of_a_stack_trains_as_if_alone(few, change):
    recipe = replace(TINY, **change)
    together = stacked.train(recipe, few, SEEDS, "cpu")
    assert [one.seed for one in together] == SEEDS
    assert len({one.history.train_loss[-1] for one in together}) == 3
    for one in together:
        alone = run.train(recipe, few, one.seed)
        for name, values in vars(alone.history).items():
            if name != "seconds":
                near = 0.011 if "accuracy" in name else 1e-3  # an accuracy moves by whole images
                assert getattr(one.history, name) == pytest.approx(values, rel=2e-3, abs=near), name
        assert list(one.weights) == list(alone.weights)
        for name, value in alone.weights.items():
            torch.testing.assert_close(one.weights[name], value, atol=5e-3, rtol=2e-2)
        assert (one.predictions == alone.predictions).mean() > 0.97 and one.predictions.dtype == np.uint8
        assert one.train_accuracy_clean == pytest.approx(alone.train_accuracy_clean, abs=0.01)
        assert (one.n_train, one.kept_epoch) == (300, None)


@pytest.mark.slow
@pytest.mark.parametrize("of", ["stack", "run"])
def test_an_interrupted_stack_resumes_where_it_stopped(few, of):
    """Also from states of single runs: those of a CPU may be resumed on a GPU."""
    recipe, kept = replace(TINY, ema_decay=0.9), {}

    def keep(seed: int, now: run.State) -> None:
        kept.setdefault(seed, copy.deepcopy(now))

    whole = stacked.train(recipe, few, SEEDS, "cpu", after_epoch=keep)
    if of == "run":
        kept.clear()
        for seed in SEEDS:
            run.train(recipe, few, seed, after_epoch=lambda now, seed=seed: keep(seed, now))
    resumed = stacked.train(recipe, few, SEEDS, "cpu", [kept[seed] for seed in SEEDS])
    for one, other in zip(whole, resumed, strict=True):
        if of == "stack":
            assert one.history.eval_loss == other.history.eval_loss
            assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
        else:
            assert other.history.eval_loss == pytest.approx(one.history.eval_loss, rel=2e-3)


def test_what_cannot_be_stacked_says_so(few):
    for change in ({"dropout": 0.1}, {"optimizer": Optimizer("adam")}):
        with pytest.raises(SettingError, match="stacked"):
            stacked.train(replace(TINY, **change), few, SEEDS, "cpu")
    with pytest.raises(TrainingError, match=r"Seed [34] diverged in epoch \d"):
        stacked.train(replace(TINY, optimizer=Optimizer(lr=100.0, momentum=0.99), batch_size=20), few, [3, 4], "cpu")


@pytest.mark.parametrize(("dropout", "expected"), [(0.0, [2]), (0.05, [])])
def test_seeds_are_stacked_a_bounded_number_at_a_time_and_stored(few, dropout, expected, tmp_path, monkeypatch):
    """The way that a GPU takes, here on the CPU: a stack of two and a single one, or one by one where a recipe has dropout."""
    sizes, seen, train = [], [], stacked.train

    def counted(recipe, mnist, seeds, *rest):
        sizes.append(len(seeds))
        return train(recipe, mnist, seeds, *rest)

    monkeypatch.setattr(stacked, "train", counted)
    monkeypatch.setattr(stacked, "TOGETHER", 2)
    recipe = replace(TINY, dropout=dropout)
    keys = {seed: cache.cache_key(recipe, few, seed) for seed in (5, 6, 7)}
    seeds._in_stacks(recipe, few, keys, "cpu", tmp_path, lambda seed, history, resumed=False: seen.append(seed))
    assert sizes == expected and sorted(seen) == [5, 5, 6, 6, 7, 7]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{key}.run" for key in keys.values())
    for seed, key in keys.items():
        stored = cache.load_run(cache.run_path(tmp_path, key), key)
        assert stored.seed == seed and stored.provenance["device"] == "cpu"
