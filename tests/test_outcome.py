"""What a notebook tells of its trials: saved, compared with the step before, and rebuilt from what is committed."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlib import data, outcome, results, settings, state, steps, trials

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def few() -> data.Mnist:
    return data.load("digits", limit=300)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "FOLDER", str(tmp_path / "trials"))
    return tmp_path


def run(name: str, few: data.Mnist, folder) -> outcome.Outcome:
    step = steps.get(name)
    recipe = replace(step.recipe, epochs=2)
    runs = trials.fit(recipe, few, SEEDS, device="cpu", workers=2, show=lambda line: None)
    return outcome.make(step, recipe, few, runs, settings.Settings(results_dir=folder, dataset="digits", limit=300))


@pytest.mark.slow
def test_a_step_is_compared_with_the_one_before_and_its_claims_are_kept(few, scratch):
    first = run("00_skeleton", few, scratch)
    assert first.before is None and "first step" in first.sentence and first.changes() == []
    assert not first.better().supported
    second = run("01_capacity", few, scratch)
    assert second.before.step == "00_skeleton" and second.sentence == ""
    assert np.array_equal(second.predictions_before, first.predictions)
    moved = second.result.difference.mean
    assert moved == pytest.approx(second.result.summary.final_mean - first.result.summary.final_mean)
    assert sum(change.after - change.before for change in second.changes()) == pytest.approx(-moved * len(few.test.labels))
    claims = second.record([second.better(), second.narrower(), second.held()])
    assert results.read(second.path).claims == claims and len(claims) == 3
    assert second.result.keys["notebook"] and len(second.result.keys["reference"]) == 2


def test_a_run_that_tried_another_recipe_says_so(few, scratch):
    step = steps.get("00_skeleton")
    tried = settings.Settings(fields={"optimizer.lr": 0.05}, epochs=1, results_dir=scratch, dataset="digits", limit=300)
    recipe = tried.recipe(step.recipe)
    runs = trials.fit(recipe, few, [0], device="cpu", workers=1, show=lambda line: None)
    made = outcome.make(step, recipe, few, runs, tried)
    assert made.sentence.startswith("This run tried another recipe than the step's: optimizer.lr 0.05 (was 0.1). ")
    assert results.read(made.path).recipe.optimizer.lr == 0.05


def test_the_reference_run_repeats_and_tells_another_recipe(few):
    recipe = steps.get("01_capacity").recipe
    assert outcome.reference(recipe, few) == outcome.reference(recipe, few)
    assert outcome.reference(replace(recipe, dropout=0.2), few) != pytest.approx(outcome.reference(recipe, few), rel=1e-3)


def test_trials_are_rebuilt_from_results_and_checkpoints(few, scratch):
    made = run("01_capacity", few, scratch)
    for trial in made.trials:
        trials.path(trial.key).unlink()
    assert outcome.restore("01_capacity", few, scratch) == len(SEEDS)
    for trial in made.trials:
        again = state.load_trial(trials.path(trial.key), trial.key)
        assert np.array_equal(again.predictions, trial.predictions) and again.history == trial.history
        assert again.train_accuracy_clean == trial.train_accuracy_clean
    assert outcome.restore("01_capacity", few, scratch) == 0
    assert outcome.restore("03_augment", few, scratch) == 0
    told = outcome.make(
        steps.get("01_capacity"), made.result.recipe, few, trials.fit(made.result.recipe, few, SEEDS, reuse=True, show=lambda line: None),
        settings.Settings(results_dir=scratch, dataset="digits", limit=300),
    )  # fmt: skip
    assert told.result.runs == made.result.runs and told.result.provenance == made.result.provenance
