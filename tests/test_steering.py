"""What a run decides by accuracies on the way: on images it does not train on, the same after an interruption, and on record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_train import same

from mnistlib import data, models, steps, train
from mnistlib.errors import ResultError
from mnistlib.published import early_stopping, folds, registry
from mnistlib.published.schedulers import Cyclic, Plateau
from mnistlib.recipe import Optimizer, Recipe, Steering
from mnistlib.report import model_summary, results
from mnistlib.runs import seeds, storage
from mnistlib.runs.storage import History, State

BEST = Steering(by="validation", keep="best")
LEARNS = Recipe("brisk", Optimizer(lr=0.1, nesterov=False), Cyclic(base=0.01, up=20), batch_size=32, epochs=5, steering=BEST)


@pytest.fixture(scope="module")
def few() -> data.Mnist:
    """Return a few of scikit-learn's digits: what is tested here does not depend on the data."""
    return data.load("digits", limit=300)


def history(test: list[float], guide: list[float] | None = None) -> History:
    return History(test_accuracy=test, seconds=[1.0] * len(test), steering_accuracy=guide or [])


def test_a_run_goes_by_the_images_its_recipe_names():
    plain, leak = replace(LEARNS, steering=None), replace(LEARNS, steering=Steering(by="judged"))
    assert early_stopping.guides(plain, history([0.5, 0.6])) == ()
    assert early_stopping.guides(leak, history([0.5, 0.6])) == (0.5, 0.6)
    assert early_stopping.guides(LEARNS, history([0.5, 0.6], [0.7, 0.4])) == (0.7, 0.4)


def test_the_best_epoch_is_the_first_of_the_best():
    last = replace(LEARNS, steering=Steering(by="validation"))
    told = history([0.9, 0.1, 0.1, 0.1], [0.1, 0.8, 0.8, 0.2])
    assert (
        early_stopping.kept(LEARNS, told),
        early_stopping.kept(last, told),
        early_stopping.kept(replace(LEARNS, steering=None), told),
    ) == (2, 4, 4)


def test_a_goal_ends_a_run_only_where_there_is_one_and_it_is_reached():
    goal = replace(LEARNS, steering=Steering(by="validation", stop_at=0.8))
    assert early_stopping.ended(goal, history([0.1], [0.8])) and not early_stopping.ended(goal, history([0.9], [0.79]))
    assert not early_stopping.ended(goal, history([])) and not early_stopping.ended(LEARNS, history([1.0], [1.0]))


@pytest.mark.parametrize("by", ["validation", "judged"])
def test_the_best_epochs_net_is_what_a_run_ends_with(few, by, monkeypatch):
    """The accuracies are made up, so that the best epoch is the one in the middle whatever the machine."""
    told = {"validation": [0.2, 0.9, 0.8, 0.1, 0.2, 0.9], "judged": [0.2, 0.8, 0.2]}[by]  # of the steering and the judged images by turns
    share_right, told = train.share_right, iter(told)
    monkeypatch.setattr(train, "share_right", lambda *given: next(told, 0.5))
    nets: list[dict[str, torch.Tensor]] = []
    recipe = replace(LEARNS, epochs=3, steering=Steering(by=by, keep="best"))
    trial = train.train(recipe, few, 0, after_epoch=lambda now: nets.append({name: value.clone() for name, value in now.weights.items()}))
    assert early_stopping.kept(recipe, trial.history) == 2 and len(nets) == 3
    assert all(torch.equal(trial.weights[name], value) for name, value in nets[1].items())
    assert not all(torch.equal(trial.weights[name], value) for name, value in nets[2].items())
    net = models.build("brisk")
    net.load_state_dict(trial.weights)
    assert share_right(trial.predictions, few.test) == share_right(train.predict(net, few.test)[1], few.test)
    assert len(trial.history.steering_accuracy) == (3 if by == "validation" else 0)


def test_a_goal_reached_ends_the_run(few):
    whole = train.train(LEARNS, few, 0)
    goal = whole.history.steering_accuracy[1]
    first = next(place for place, accuracy in enumerate(whole.history.steering_accuracy) if accuracy >= goal) + 1
    assert first < LEARNS.epochs
    trial = train.train(replace(LEARNS, steering=Steering(by="validation", stop_at=goal)), few, 0)
    assert len(trial.history.seconds) == first and trial.history.steering_accuracy[-1] >= goal
    assert trial.history.test_accuracy == whole.history.test_accuracy[:first]
    assert train.share_right(trial.predictions, few.test) == trial.history.test_accuracy[-1]


def test_the_images_that_steer_are_never_trained_on(few, monkeypatch):
    """Made-up writers: whole ones steer, and nothing of theirs is in any batch or in the accuracy on the training images."""
    made = np.arange(300) // 10
    few = replace(few, dataset="mnist", train=replace(few.train, writers=made, groups=np.where(made % 2, data.STUDENTS, 0)))
    part, guide = folds.steered(few, "validation")
    assert not set(part.writers) & set(guide.writers) and len(guide.ids) >= 40
    seen: list[torch.Tensor] = []
    batches = train.batches

    def spied(images, labels, *rest):
        seen.append(images)
        return batches(images, labels, *rest)

    monkeypatch.setattr(train, "batches", spied)
    trial = train.train(replace(LEARNS, epochs=2), few, 0)
    assert len(seen) == 2 and all(torch.equal(images, part.images) for images in seen)
    net = models.build("brisk")
    net.load_state_dict(trial.weights)
    assert trial.train_accuracy_clean == train.share_right(train.predict(net, part)[1], part)
    assert max(trial.history.steering_accuracy) == train.share_right(train.predict(net, guide)[1], guide)


GAP, PLATEAU = registry.get("001-gap").recipe, registry.get("002-model-3").recipe
RESUMED = {  # each with the epoch after which it is interrupted
    "Adam and a cycle": (replace(GAP, epochs=3), 2),
    "a plateau and the best epoch": (
        replace(PLATEAU, epochs=5, batch_size=32, schedule=Plateau(factor=0.5, patience=0, threshold=1.0), steering=BEST),
        4,
    ),
    "the best epoch of averaged weights": (replace(LEARNS, epochs=3, averaging=0.9), 2),
    "an early end": (replace(LEARNS, steering=Steering(by="judged", stop_at=0.35)), 2),
}


@pytest.mark.parametrize("name", RESUMED)
def test_an_interrupted_run_goes_on_bit_for_bit(few, name, tmp_path):
    """From the file that a state is kept in: it must hold all that the recipe goes by."""
    (recipe, after), path = RESUMED[name], tmp_path / "run.state"

    def keep(now: State) -> None:
        storage.save_state(path, "key", now)
        if len(now.history.seconds) == after:
            raise KeyboardInterrupt

    whole = train.train(recipe, few, 0)
    with pytest.raises(KeyboardInterrupt):
        train.train(recipe, few, 0, after_epoch=keep)
    start = storage.load_state(path, "key")
    assert len(start.history.seconds) == after < len(whole.history.seconds)
    assert bool(start.best) == (recipe.steering is not None and recipe.steering.keep == "best")
    assert same(train.train(recipe, few, 0, start=start), whole)
    if name == "a plateau and the best epoch":
        assert whole.history.learning_rate[4] < whole.history.learning_rate[3]  # for what came before the interruption
    if name == "an early end":
        assert len(whole.history.seconds) < recipe.epochs


# On record


def result(few: data.Mnist, recipe: Recipe, runs: list[storage.Trial]) -> results.Result:
    about = model_summary.of(models.build(recipe.model))
    return results.make(
        steps.Step("own", "Own", recipe, None),
        few,
        runs,
        n_parameters=about.n_parameters,
        n_macs=about.n_macs,
        receptive_field=about.receptive_field,
        provenance=runs[0].provenance,
    )


def test_a_result_tells_the_epoch_that_was_kept(few, tmp_path):
    recipe = replace(LEARNS, epochs=2)
    trial = train.train(recipe, few, 0)
    right = train.share_right(trial.predictions, few.test)
    trial = replace(trial, history=replace(trial.history, test_accuracy=[right, 0.0], steering_accuracy=[0.9, 0.1]))
    made = result(few, recipe, [trial])
    (run,) = made.runs
    assert (run.kept, run.final, run.steering_accuracy) == (1, right, (0.9, 0.1)) and made.summary.final_mean == pytest.approx(right)
    assert made.n_train == len(folds.steered(few, "validation")[0].ids) < len(few.train.ids)
    assert results.read(results.save(made, [trial], tmp_path)) == made
    storage.save_trial(tmp_path / "a.trial", trial)
    assert same(storage.load_trial(tmp_path / "a.trial", trial.key), trial)


def test_a_short_trial_is_a_result_only_where_its_goal_was_reached(few):
    recipe = replace(LEARNS, epochs=2, steering=Steering(by="judged", stop_at=0.01))
    trial = train.train(recipe, few, 0)
    assert len(trial.history.seconds) == 1 and result(few, recipe, [trial]).runs[0].final == trial.history.test_accuracy[0]
    with pytest.raises(ResultError, match="Seed 0 has 1 epochs where the recipe asks for 2"):
        result(few, replace(recipe, steering=Steering(by="judged", stop_at=1.0)), [trial])


def test_a_run_that_ended_early_leaves_no_time_to_wait():
    recipe = replace(LEARNS, steering=Steering(by="judged", stop_at=0.9))
    report = seeds._Reporter(recipe, [0, 1], lambda line: None, lambda so_far: None)
    told = {name: [0.5] for name in ("train_loss", "train_accuracy", "test_loss", "learning_rate", "seconds")} | {"steering_accuracy": []}
    report(0, told | {"test_accuracy": [0.95]})
    assert report.left == {0: 0, 1: 5}
    report(1, told | {"test_accuracy": [0.5]})
    assert report.left == {0: 0, 1: 4} and report.so_far[-1].left == pytest.approx(2.0)
