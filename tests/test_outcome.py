"""What a notebook tells of its trials: saved, compared with the step before, and rebuilt from what is committed."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlib import data, steps
from mnistlib.notebook import params
from mnistlib.report import results, step_report
from mnistlib.runs import seeds, storage

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def few() -> data.Mnist:
    return data.load("digits", limit=300)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(seeds, "FOLDER", str(tmp_path / "trials"))
    return tmp_path


def run(name: str, few: data.Mnist, folder) -> step_report.Outcome:
    step = steps.get(name)
    recipe = replace(step.recipe, epochs=2)
    runs = seeds.fit(recipe, few, SEEDS, device="cpu", workers=2, show=lambda line: None)
    return step_report.make(step, recipe, few, runs, params.Settings(results_dir=folder, dataset="digits", limit=300))


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
    tried = params.Settings(fields={"optimizer.lr": 0.05}, epochs=1, results_dir=scratch, dataset="digits", limit=300)
    recipe = tried.recipe(step.recipe)
    runs = seeds.fit(recipe, few, [0], device="cpu", workers=1, show=lambda line: None)
    made = step_report.make(step, recipe, few, runs, tried)
    assert made.sentence.startswith("This run tried another recipe than the step's: optimizer.lr 0.05 (was 0.1). ")
    assert results.read(made.path).recipe.optimizer.lr == 0.05


def test_the_reference_run_repeats_and_tells_another_recipe(few):
    recipe = steps.get("01_capacity").recipe
    assert step_report.reference(recipe, few) == step_report.reference(recipe, few)
    assert step_report.reference(replace(recipe, dropout=0.2), few) != pytest.approx(step_report.reference(recipe, few), rel=1e-3)


def test_trials_are_rebuilt_from_results_and_checkpoints(few, scratch):
    made = run("01_capacity", few, scratch)
    for trial in made.trials:
        seeds.path(trial.key).unlink()
    assert step_report.restore("01_capacity", few, scratch) == len(SEEDS)
    for trial in made.trials:
        again = storage.load_trial(seeds.path(trial.key), trial.key)
        assert np.array_equal(again.predictions, trial.predictions) and again.history == trial.history
        assert again.train_accuracy_clean == trial.train_accuracy_clean
    assert step_report.restore("01_capacity", few, scratch) == 0
    assert step_report.restore("03_augment", few, scratch) == 0
    told = step_report.make(
        steps.get("01_capacity"), made.result.recipe, few, seeds.fit(made.result.recipe, few, SEEDS, reuse=True, show=lambda line: None),
        params.Settings(results_dir=scratch, dataset="digits", limit=300),
    )  # fmt: skip
    assert told.result.runs == made.result.runs and told.result.provenance == made.result.provenance
