"""What a notebook reports of its runs: saved, compared with the step before, and rebuilt from what is committed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mnistlib import data, formatting, steps
from mnistlib.errors import ResultError
from mnistlib.report import result as results
from mnistlib.report import result_tables, step_report
from mnistlib.report.step_report import StepReport
from mnistlib.runs import Run, cache, run, seeds
from mnistlib.stats import comparison, intervals

SEEDS = (0, 1)
ORIGIN = {"started": "2026-03-04T05:06:07Z", "seconds": 1.0, "commit": "abc", "gpu": None}


def finished(recipe, few: data.Mnist) -> list[Run]:
    """Return finished runs of a recipe as `train_seeds` does, but trained in this process."""
    trained = [run.train(recipe, few, seed) for seed in SEEDS]
    return [replace(one, key=cache.cache_key(recipe, few, one.seed), provenance=ORIGIN) for one in trained]


@pytest.fixture(scope="module")
def trained(few) -> dict[str, list[Run]]:
    """Return runs of two epochs of the first three steps."""
    return {name: finished(replace(steps.get(name).recipe, epochs=2), few) for name in ("00_skeleton", "01_capacity", "02_regularise")}


def report(name: str, trained, few, folder) -> StepReport:
    """Report a step's runs."""
    step = steps.get(name)
    return step_report.make(step, replace(step.recipe, epochs=2), few, trained[name], folder)


def replaced(made: StepReport, low: float, high: float) -> StepReport:
    """Return a report whose difference from the step before has another interval."""
    difference = made.result.difference
    effect = replace(difference.effect, value=(low + high) / 2, interval=(low, high), n_seeds=2)
    return replace(made, result=replace(made.result, difference=replace(difference, effect=effect)))


def test_a_step_is_compared_with_the_one_before_and_its_claims_are_kept(few, trained, tmp_path):
    first = report("00_skeleton", trained, few, tmp_path)
    assert first.before is first.first is None and "first step" in first.sentence
    claims = (first.better(), first.no_worse(), first.narrower(), first.fits_better(), first.lower_loss())
    assert {claim.outcome for claim in claims} == {"no comparison"} and all(claim.figures == first.sentence for claim in claims)
    second = report("01_capacity", trained, few, tmp_path)
    assert second.before.result.step == "00_skeleton" and second.first is None and second.sentence == ""
    assert np.array_equal(second.before.predictions, first.predictions) and second.wrong.shape == (2, 200)
    moved = second.result.difference.effect
    assert moved.value == pytest.approx(second.result.summary.final_mean - first.result.summary.final_mean)
    for claim, threshold in ((second.better(), 0), (second.no_worse(), -comparison.MARGIN)):
        low, high = moved.interval
        assert claim.outcome == ("supported" if low > threshold else "refuted" if high < threshold else "inconclusive")
        assert claim.figures.startswith(comparison.figures(second.result.difference)) and "00_skeleton" in claim.claim
    reverse = {"supported": "refuted", "refuted": "supported"}
    assert second.worse().outcome == reverse.get(second.better().outcome, "inconclusive")
    assert replaced(second, 0.01, 0.02).worse().outcome == "refuted" and replaced(second, -0.02, -0.01).worse().outcome == "supported"
    claims = second.record([second.better(), second.narrower(), second.held(), second.fits_better(), second.reached()])
    assert results.read(second.path).claims == claims and len(claims) == 5
    losses = [np.mean(each.result.summary.losses) for each in (second, first)]
    assert all(formatting.decimals(loss) in second.lower_loss().figures for loss in losses)
    errors = [formatting.amount(formatting.POINTS, np.mean(each.result.train_errors)) for each in (second, first)]
    assert all(error in second.fits_better().figures for error in errors)
    assert second.result.keys["notebook"] and second.result.verdict is None  # a part of the training images
    assert second.result.provenance["seconds"] == pytest.approx(sum(second.result.seconds), abs=0.1)


@pytest.mark.parametrize(
    ("low", "high", "outcome"), [(0.9941, 0.9962, "supported"), (0.9931, 0.9952, "inconclusive"), (0.9901, 0.9939, "refuted")]
)
def test_the_target_is_reached_with_the_whole_interval(few, trained, tmp_path, low, high, outcome):
    made = report("00_skeleton", trained, few, tmp_path)
    accuracy = replace(made.result.summary.accuracy, interval=(low, high), n_seeds=5)
    reached = replace(made, result=replace(made.result, summary=replace(made.result.summary, accuracy=accuracy))).reached()
    assert reached.outcome == outcome and formatting.interval((low, high)) in reached.figures


@pytest.mark.parametrize(
    ("curves", "outcome"),
    [
        ([[0.9, 0.9952, 0.9950, 0.9961], [0.9, 0.9954, 0.9949, 0.9960]], "supported"),
        ([[0.9, 0.9952, 0.9941, 0.9961], [0.9, 0.9954, 0.9940, 0.9960]], "inconclusive"),  # of the lowest of the last three epochs
        ([[0.9, 0.9952, 0.9850, 0.9961], [0.9, 0.9954, 0.9851, 0.9960]], "refuted"),
        ([[0.9952, 0.9961], [0.9954, 0.9960]], "no comparison"),
        ([[0.9952, 0.9961, 0.9961]], "no comparison"),
    ],
)
def test_the_target_is_held_where_the_lowest_mean_is_above_it_for_other_seeds(few, trained, tmp_path, curves, outcome):
    made = report("00_skeleton", trained, few, tmp_path)
    runs = [replace(run, history=replace(run.history, eval_accuracy=curve)) for run, curve in zip(made.runs, curves, strict=False)]
    held = replace(made, runs=runs).held()
    assert held.outcome == outcome
    if outcome == "supported":
        effect = intervals.welch([curve[2] for curve in curves])
        assert held.effect == effect and formatting.percent(effect.value) in held.figures and "seeds that hold" in held.figures


def test_a_step_is_compared_with_the_ablations_beside_it(few, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(results.files, "root", lambda: tmp_path / "nowhere")
    made = report("00_skeleton", trained, few, tmp_path)
    missing = made.better_than("softmax")
    assert (
        missing.outcome == "no comparison"
        and "softmax" in missing.figures
        and "no result of softmax" in repr(result_tables.ablations(made))
    )
    floor = replace(steps.get("softmax"), recipe=replace(steps.get("softmax").recipe, epochs=2))
    step_report.make(floor, floor.recipe, few, finished(floor.recipe, few), tmp_path)
    claim = made.better_than("softmax")
    moved, _ = made.beside("softmax")
    wrong = results.read_predictions(results.read(tmp_path / "results" / "softmax.json"), tmp_path)[0] != few.eval.labels.numpy()
    assert claim.effect == moved.effect and moved.effect.value == pytest.approx(wrong.mean() - made.wrong.mean())
    assert claim.outcome != "no comparison" and comparison.figures(moved) in repr(result_tables.ablations(made))


def test_a_later_step_is_compared_with_the_first_as_well(few, trained, tmp_path):
    first, second, third = (report(name, trained, few, tmp_path) for name in ("00_skeleton", "01_capacity", "02_regularise"))
    assert (third.before.result.step, third.first.result.step) == ("01_capacity", "00_skeleton")
    since = third.result.since_first
    assert since.from_ == "00_skeleton" and second.result.since_first is None
    assert since.effect.value == pytest.approx(third.result.summary.final_mean - first.result.summary.final_mean)
    assert all("00_skeleton" in claim.figures for claim in (third.better(), third.no_worse(), third.narrower(), third.fits_better()))


def test_the_first_seeds_are_what_a_report_of_them_alone_would_be(few, trained, tmp_path):
    alone = {name: runs[:1] for name, runs in trained.items()}
    for name in trained:
        whole, single = report(name, trained, few, tmp_path / "both"), report(name, alone, few, tmp_path / "one")
        part = whole.first_seeds(1)
        assert replace(part.result, provenance={}) == replace(single.result, provenance={}) and part.fits_better() == single.fits_better()
        assert part.better() == single.better() and part.better_calibrated() == single.better_calibrated()
    assert whole.result.summary.n_seeds == 2 and repr(result_tables.first_five(whole)) == ""


def test_the_first_five_seeds_stand_beside_all(few, trained, tmp_path):
    many = {name: [replace(runs[seed % 2], seed=seed) for seed in range(6)] for name, runs in trained.items()}
    whole = [report(name, many, few, tmp_path) for name in many][1]
    shown = repr(result_tables.first_five(whole))
    for made in (whole, whole.first_seeds(5)):
        summary, difference = made.result.summary, made.result.difference
        for bounds in (summary.interval, summary.seed_interval):
            assert formatting.interval(bounds) in shown
        assert formatting.mean_sd(summary.final_mean, summary.final_sd) in shown and comparison.figures(difference) in shown
        assert formatting.amount(formatting.IMAGES, difference.effect.smallest) in shown
    for claim in (whole.better(), whole.no_worse(), whole.reached()):
        assert any(line.startswith(claim.claim) and line.endswith(claim.outcome) for line in shown.splitlines())


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
    assert made.before is None and "299" in made.sentence and made.result.difference is None and made.better().outcome == "no comparison"


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
