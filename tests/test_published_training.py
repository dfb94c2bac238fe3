"""Training of published recipes: torch's schedulers, early stopping, and the same bits after an interruption."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim import SGD, Adam, lr_scheduler

from mnistlib import data, recipe_dict, train
from mnistlib.errors import SettingError
from mnistlib.published import repository, training
from mnistlib.published.training import EarlyStopping, OneCycleLR, PublishedRecipe, PublishedTrainer, ReduceLROnPlateau, StepLR
from mnistlib.recipe import Augment, Optimizer, Schedule
from mnistlib.runs import cache, run

BEST = EarlyStopping(monitor="validation", restore_best=True)
LEARNS = PublishedRecipe("selection.nets:strided_pool", Optimizer(lr=0.1), schedule=None, early_stopping=BEST, batch_size=32, epochs=3)


def rates(scheduler, optimizer: str = "sgd", monitored: tuple[float, ...] = (0.5, 0.9, 0.9, 0.9, 0.9, 0.91)) -> list[tuple[float, float]]:
    """Return learning rate and momentum of every step of six epochs of three steps, as the trainer sets them."""
    recipe = replace(LEARNS, optimizer=Optimizer(optimizer, lr=0.05), scheduler=scheduler, epochs=6)
    trainer, found = PublishedTrainer(recipe, 0), []
    for step in range(18):
        trainer.history.monitor_accuracy = list(monitored[: step // 3])
        trainer.set_lr(step, 96)
        group = trainer.optimizer.param_groups[0]
        found.append((group["lr"], group["betas"][0] if "betas" in group else group["momentum"]))
    return found


def test_the_trainer_steps_torchs_schedulers_when_torch_would():
    optimizer, expected = SGD([torch.zeros(1)], lr=0.05, momentum=0.9), []
    scheduler = lr_scheduler.StepLR(optimizer, 2, 0.4)
    for _ in range(6):
        expected += [(optimizer.param_groups[0]["lr"], 0.9)] * 3
        optimizer.step()
        scheduler.step()
    assert rates(StepLR(step_size=2, gamma=0.4)) == expected

    optimizer, expected = Adam([torch.zeros(1)], lr=0.05), []
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=18)
    for _ in range(18):
        expected.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"][0]))
        optimizer.step()
        scheduler.step()
    assert rates(OneCycleLR(), "adam") == expected and min(beta for _, beta in expected) == pytest.approx(0.85, abs=0.01)

    falls = [lr for lr, _ in rates(ReduceLROnPlateau(factor=0.5, patience=1))][::3]
    assert falls == [0.05, 0.05, 0.05, 0.05, 0.025, 0.025]  # after two epochs without a new best
    assert {lr for lr, _ in rates(None)} == {0.05}


def test_recipes_that_contradict_themselves_are_refused():
    for changed in (
        {"scheduler": StepLR(6), "schedule": Schedule()},
        {"transforms": repository.get("001-gap").recipe.transforms, "augment": Augment()},
        {"scheduler": ReduceLROnPlateau(), "early_stopping": None},
    ):
        with pytest.raises(SettingError):
            replace(LEARNS, **changed)
    for kind, name in ((StepLR, "step_size"), (OneCycleLR, "pct_start"), (ReduceLROnPlateau, "patience")):
        with pytest.raises(SettingError, match=f"{kind.__name__}.{name}"):
            kind(**{name: -1})
    with pytest.raises(SettingError, match="monitor"):
        EarlyStopping(monitor="test")
    with pytest.raises(SettingError, match="too few"):
        PublishedTrainer(LEARNS, 0).fit(data.load(train_limit=2))


def test_overrides_reach_what_published_recipes_add():
    recipe = repository.get("003-model-3").recipe
    changed = recipe_dict.with_overrides(recipe, {"scheduler.step_size": 3, "transforms": [], "early_stopping.monitor": "eval"})
    assert (changed.scheduler.step_size, changed.transforms, changed.early_stopping) == (3, (), EarlyStopping("eval"))
    assert type(changed) is PublishedRecipe and recipe_dict.digest(changed) != recipe_dict.digest(recipe)


@pytest.mark.parametrize("monitor", ["validation", "eval"])
def test_the_weights_of_the_best_epoch_are_kept(few, monitor, monkeypatch):
    """The accuracies are made up, so that the best epoch is the one in the middle."""
    made_up = iter({"validation": [0.9, 0.2, 0.1, 0.8, 0.9, 0.2], "eval": [0.2, 0.8, 0.2]}[monitor])  # evaluated and monitored in turn
    for module in (train, training):
        monkeypatch.setattr(module, "accuracy", lambda *given: next(made_up, 0.5))
    weights: list[dict[str, torch.Tensor]] = []
    recipe = replace(LEARNS, early_stopping=EarlyStopping(monitor, restore_best=True))
    done = run.train(recipe, few, 0, after_epoch=lambda now: weights.append({name: value.clone() for name, value in now.weights.items()}))
    assert done.kept_epoch == 2 and done.final == done.history.eval_accuracy[1] and len(weights) == 3
    assert all(torch.equal(done.weights[name], value) for name, value in weights[1].items())
    assert not all(torch.equal(done.weights[name], value) for name, value in weights[2].items())
    assert done.history.monitor_accuracy == ([0.2, 0.8, 0.2] if monitor == "validation" else [])


def test_monitored_writers_are_not_trained_on(few, monkeypatch):
    seen = []
    batches = train.Trainer.batches
    monkeypatch.setattr(train.Trainer, "batches", lambda self, images, labels: seen.append(len(images)) or batches(self, images, labels))
    trainer = PublishedTrainer(replace(LEARNS, epochs=1), 0)
    part = trainer.training_images(few)
    assert not set(part.writers) & set(trainer.monitor_images.writers) and len(part.ids) + len(trainer.monitor_images.ids) == len(
        few.train.ids
    )
    trainer.fit(few)
    assert seen == [len(part.ids)] and run.train(replace(LEARNS, epochs=1), few, 0).n_train == len(part.ids)


def test_a_goal_ends_training(few):
    whole = run.train(LEARNS, few, 0)
    goal = whole.history.monitor_accuracy[1]
    first = next(place for place, accuracy in enumerate(whole.history.monitor_accuracy, 1) if accuracy >= goal)
    short = run.train(replace(LEARNS, early_stopping=EarlyStopping("validation", stop_at=goal)), few, 0)
    assert len(short.history.seconds) == first < LEARNS.epochs and short.kept_epoch is None
    assert short.history.eval_accuracy == whole.history.eval_accuracy[:first]


GAP = repository.get("001-gap").recipe
RESUMED = {
    "one cycle, Adam and a rotation": (replace(GAP, epochs=3), 2),
    "a falling plateau and the best epoch": (replace(LEARNS, epochs=4, scheduler=ReduceLROnPlateau(0.5, 0, 1.0)), 3),
    "steps and every transform": (replace(repository.get("000-model-4").recipe, scheduler=StepLR(1, 0.5), epochs=3), 2),
    "the best epoch of an EMA": (replace(LEARNS, ema_decay=0.9), 2),
    "nothing left to train": (LEARNS, 3),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_an_interrupted_run_resumes_bit_for_bit(few, name, tmp_path):
    """From the file that a state is kept in."""
    (recipe, after), path = RESUMED[name], tmp_path / "run.state"

    def keep(state: run.State) -> None:
        cache.save_state(path, "key", state)
        if len(state.history.seconds) == after:
            raise KeyboardInterrupt

    whole = run.train(recipe, few, 0)
    with pytest.raises(KeyboardInterrupt):
        run.train(recipe, few, 0, after_epoch=keep)
    resumed = run.train(recipe, few, 0, state=cache.load_state(path, "key"))
    assert all(torch.equal(resumed.weights[layer], value) for layer, value in whole.weights.items())
    assert replace(resumed.history, seconds=[]) == replace(whole.history, seconds=[])
    assert resumed.kept_epoch == whole.kept_epoch and np.array_equal(resumed.predictions, whole.predictions)
    if name == "a falling plateau and the best epoch":
        assert whole.history.learning_rate[3] < whole.history.learning_rate[2]
