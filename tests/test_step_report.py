"""What a notebook reports of its runs: saved, compared with the step before, and rebuilt from what is committed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mnistlib import data, steps
from mnistlib.errors import ResultError
from mnistlib.report import result as results
from mnistlib.report import step_report
from mnistlib.report.step_report import StepReport
from mnistlib.runs import Run, cache, run, seeds
from mnistlib.stats.comparison import Difference

SEEDS = (0, 1)
ORIGIN = {"started": "2026-03-04T05:06:07Z", "seconds": 1.0, "commit": "abc", "gpu": None}


def finished(recipe, few: data.Mnist) -> list[Run]:
    """Return finished runs of a recipe as `train_seeds` does, but trained in this process."""
    trained = [run.train(recipe, few, seed) for seed in SEEDS]
    return [replace(one, key=cache.cache_key(recipe, few, one.seed), provenance=ORIGIN) for one in trained]


@pytest.fixture(scope="module")
def trained(few) -> dict[str, list[Run]]:
    """Return runs of two epochs of the first two steps."""
    return {name: finished(replace(steps.get(name).recipe, epochs=2), few) for name in ("00_skeleton", "01_capacity")}


def report(name: str, trained, few, folder) -> StepReport:
    """Report a step's runs."""
    step = steps.get(name)
    return step_report.make(step, replace(step.recipe, epochs=2), few, trained[name], folder)


def test_a_step_is_compared_with_the_one_before_and_its_claims_are_kept(few, trained, tmp_path):
    first = report("00_skeleton", trained, few, tmp_path)
    assert first.before is None and "first step" in first.sentence and first.confusion_changes() == []
    assert not any(claim.supported for claim in (first.better(), first.narrower(), first.quicker()))
    second = report("01_capacity", trained, few, tmp_path)
    assert second.before.step == "00_skeleton" and second.sentence == ""
    assert np.array_equal(second.predictions_before, first.predictions) and second.wrong.shape == (2, 200)
    moved = second.result.difference.mean
    assert moved == pytest.approx(second.result.summary.final_mean - first.result.summary.final_mean)
    assert sum(change.after - change.before for change in second.confusion_changes()) == pytest.approx(-moved * 200)
    claims = second.record([second.better(), second.narrower(), second.held(), second.quicker()])
    assert results.read(second.path).claims == claims and len(claims) == 4
    for interval, supported in (((0.0001, 0.0023), True), ((-0.0001, 0.0025), False)):
        difference = Difference("00_skeleton", 0.0012, interval)
        better = replace(second, result=replace(second.result, difference=difference)).better()
        assert better.supported == supported and better.figures.startswith("+0.12 points (")
    assert second.result.keys["notebook"] and second.result.verdict is None  # a part of the training images
    assert second.result.provenance["seconds"] == pytest.approx(sum(second.result.seconds), abs=0.1)


def test_from_the_record_on_the_runs_count_as_reported(few, trained, tmp_path):
    keys = [one.key for one in trained["00_skeleton"]]
    seeds.unreported(tmp_path, keys)
    made = report("00_skeleton", trained, few, tmp_path)
    assert len(list((tmp_path / "runs").glob("*.unfinished"))) == 2
    made.record([])
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_of_another_recipe_says_so(few, trained, tmp_path):
    step = steps.get("01_capacity")
    recipe = replace(step.recipe, epochs=2, optimizer=replace(step.recipe.optimizer, lr=0.05))
    made = step_report.make(step, recipe, few, trained["01_capacity"], tmp_path)
    assert "overrides" in made.sentence and "0.05" in made.sentence
    assert results.read(made.path).recipe.optimizer.lr == 0.05


def test_other_conditions_are_not_compared(few, trained, tmp_path):
    report("00_skeleton", trained, few, tmp_path)
    made = step_report.make(
        steps.get("01_capacity"),
        replace(steps.get("01_capacity").recipe, epochs=2),
        replace(few, train_limit=299),
        trained["01_capacity"],
        tmp_path,
    )
    assert made.before is None and "299" in made.sentence and made.result.difference is None and not made.better().supported


def test_runs_are_restored_from_results_and_checkpoints(few, trained, tmp_path):
    place, own = tmp_path / "reports", tmp_path / "own"
    made = report("01_capacity", trained, few, place)
    assert step_report.restore("01_capacity", few, place, own) == len(SEEDS)
    for one in made.runs:
        again = cache.load_run(cache.run_path(seeds.cache_dir(own), one.key), one.key)
        assert np.array_equal(again.predictions, one.predictions) and again.history == one.history
        assert again.train_accuracy_clean == one.train_accuracy_clean and again.weights.keys() == one.weights.keys()
    assert step_report.restore("01_capacity", few, place, own) == 0
    assert step_report.restore("03_augment", few, place, own) == 0
    taken = seeds.train_seeds(made.result.recipe, few, SEEDS, "cpu", use_cached=True, results_dir=own)
    told = step_report.make(steps.get("01_capacity"), made.result.recipe, few, taken, own)
    assert results.to_json(told.result)["runs"] == results.to_json(made.result)["runs"]
    assert told.result.predictions == made.result.predictions and told.result.provenance == made.result.provenance


def test_runs_of_another_recipe_or_of_other_data_are_not_restored(few, trained, tmp_path):
    place, own = tmp_path / "reports", tmp_path / "own"
    report("01_capacity", trained, few, place)
    assert step_report.restore("01_capacity", replace(few, sha256="0" * 64), place, own) == 0
    (place / "predictions" / "01_capacity.npz").unlink()
    with pytest.raises(ResultError, match="01_capacity"):
        step_report.restore("01_capacity", few, place, own)
