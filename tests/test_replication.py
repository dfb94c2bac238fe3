"""Claims beside seeds: like with like, what a claim is made of, the studies' estimates, and the pages' tables."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from example_results import LABELS, N, images
from example_results import result as example
from matplotlib.text import Text
from scipy import stats

from mnistlib import files
from mnistlib.published import repository, tables
from mnistlib.published.repository import Claim, PublishedModel, Replication, comparable
from mnistlib.report import markup
from mnistlib.report.result import Result
from replication import figures, overview, spread, studies
from replication import results as collected

MODEL = repository.get("003-model-3")
CURVES = ((0.97, 0.995, 0.994), (0.97, 0.991, 0.993), (0.97, 0.994, 0.992))


def result(name: str = MODEL.name, curves: tuple[tuple[float, ...], ...] = CURVES) -> Result:
    """Return the result of a model whose seeds have these accuracies per epoch."""
    made = example(name, tuple(round((1 - curve[-1]) * N) for curve in curves))
    runs = [replace(run, history=replace(run.history, eval_accuracy=list(curve))) for run, curve in zip(made.runs, curves, strict=True)]
    return replace(made, runs=tuple(runs))


def placed(*models: PublishedModel) -> list[collected.Placed]:
    return collected.with_prediction_intervals([Replication(model, result()) for model in models])


def test_a_replication_takes_a_claim_apart():
    made = Replication(MODEL, result())
    assert (made.bests, made.finals, made.luckiest) == ([0.995, 0.993, 0.994], [0.994, 0.993, 0.992], 0)
    assert made.mean == pytest.approx(0.993)


def test_a_claim_lies_inside_above_or_below_the_prediction_interval():
    bold = replace(MODEL, claims=(Claim(best=0.9999, final=0.95),))
    silent, least = replace(MODEL, claims=(Claim(best=0.994),)), replace(MODEL, claims=(Claim(final=0.9, at_least=True),))
    honest, above, no_last, bound = placed(MODEL, bold, silent, least)
    places = [(made.place(), made.place(best=False)) for made in (honest, above, no_last, bound)]
    assert places == [("inside", "inside"), ("above", "below"), ("inside", ""), ("", "inside")]
    (beyond,) = placed(replace(MODEL, claims=(Claim(final=0.9999, at_least=True),)))
    assert beyond.place(best=False) == "above"
    low, high = honest.next_final  # narrower than what three seeds alone would give
    assert 0 < high - low < 2 * stats.t.ppf(0.975, 2) * 0.001 * math.sqrt(1 + 1 / 3)


def test_only_a_full_run_on_the_test_images_is_compared_with_a_claim():
    for other in (replace(result(), train_limit=500), replace(result(), recipe=replace(MODEL.recipe, epochs=4))):
        assert not comparable(MODEL, other)
    assert "no claim" in tables.beside_claims(MODEL, replace(result(), split="validation")).text


def test_damaged_results_are_left_out_with_a_line_in_the_log(tmp_path, caplog):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "001-gap.json").write_text("{")
    with caplog.at_level("WARNING", logger="mnistlib"):
        assert collected.load(tmp_path) == {}
    assert "001-gap" in caplog.text


def test_the_page_of_a_model_has_claims_recipe_and_comparison():
    text = tables.claims(repository.get("000-model-3")).text
    assert "8,392 (13,808 in an earlier version)" in text and "98.49%" in text and "not stated" in text
    assert "003-model-2" in tables.claims(repository.get("003-model-2-augmented")).text
    recipe = tables.recipe(repository.get("000-model-4").recipe).text
    for words in ("StepLR", "step_size 6", "RandomAffine", "degrees 7", "weight_decay 0.0001", "64"):
        assert words in recipe, words
    text = tables.beside_claims(MODEL, result()).text
    assert all(words in text for words in ("99.46%", "99.40% (seed sd 0.10)", "99.30% to 99.50%", "+0.10 points", "SageMaker"))
    assert tables.published_curves(MODEL)["Colab"][-1] == 0.994 and tables.published_curves(repository.get("001-gap")) == {}


# How far seeds lie apart


def test_intervals_hold_what_they_promise():
    draws = np.random.default_rng(0).normal(3, 0.5, (2_000, 6))
    sds = draws[:, :5].std(1, ddof=1)
    inside = [low <= 0.5 <= high for low, high in (spread.sd_interval(sd, 4) for sd in sds)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    more = [spread.prediction_interval(row[:5].mean(), sd, 4, 5) for row, sd in zip(draws, sds, strict=True)]
    assert np.mean([low <= row[5] <= high for row, (low, high) in zip(draws, more, strict=True)]) == pytest.approx(0.95, abs=0.02)
    assert spread.prediction_interval(3.0, 0.0, 4, 5) == (3.0, 3.0)
    chance = spread.chance_of_difference([2.5, 3.5, 3.0], 1.0)
    assert 0 < chance < 1 and chance == spread.chance_of_difference([2.5, 3.5, 3.0], -1.0)


def test_moderated_variances_move_towards_each_other():
    unlike = spread.moderated_variances([0.5, 1.0, 4.0, 0.2, float("nan")], [2, 4, 2, 2, 0])
    known = [(1.108424, 14.336799), (1.156362, 16.336799), (1.596678, 14.336799), (1.066573, 14.336799), (1.207059, 12.336799)]
    assert unlike == [pytest.approx(pair, abs=1e-5) for pair in known]
    (one, freedom), *_ = spread.moderated_variances([1.0, 1.0, 1.0], [2, 2, 2])
    assert one == pytest.approx(np.exp(np.euler_gamma), rel=1e-5) and freedom == pytest.approx(1e6, rel=1e-5)
    assert spread.moderated_variances([1.0, float("nan")], [2, 0])[0] == (1.0, 2)


# The studies


class Evidence(studies.Evidence):
    """Evidence whose errors are the first images, as many as each seed's accuracy says."""

    @property
    def eval(self):
        return images()

    @property
    def wrong(self):
        return {name: np.stack([np.arange(N) < round((1 - run.final) * N) for run in made.runs]) for name, made in self.results.items()}


def evidence(**curves: tuple[tuple[float, ...], ...]) -> Evidence:
    """Return evidence of results by name, with underscores for dashes."""
    return Evidence(
        {name: result(name, values) for key, values in curves.items() if (name := key.strip("_").replace("_", "-"))}, files.root()
    )


LOW, HIGH = ((0.9, 0.93, 0.92), (0.9, 0.91, 0.91), (0.9, 0.92, 0.9)), ((0.9, 0.99, 0.98), (0.9, 0.98, 0.97), (0.9, 0.98, 0.98))


def test_studies_compare_what_is_there_and_leave_out_what_is_not():
    there = evidence(_003_model_2=LOW, _003_model_3=HIGH, _003_model_2_augmented=HIGH)
    lines = studies.study(there, "augmentation")
    assert [line.what.split(",")[0] for line in lines] == ["As claimed", "The same here", "All that changed", "Augmentation alone"]
    assert lines[0].value == pytest.approx(0.0013) and lines[0].interval is None
    assert lines[1].value == pytest.approx(np.mean([0.99, 0.98, 0.98]) - np.mean([0.93, 0.91, 0.92]))
    assert lines[2].value == pytest.approx(np.mean([0.98, 0.97, 0.98]) - np.mean([0.92, 0.91, 0.9])) and lines[2].interval[0] > 0
    whole = evidence(_003_model_2=LOW, _003_model_3=HIGH, _003_model_2_augmented=HIGH, _003_model_3_unaugmented=LOW)
    both = next(line for line in studies.study(whole, "augmentation") if line.role == "alone")
    assert both.value == pytest.approx(lines[2].value) and both.interval[0] > 0
    assert not any(studies.study(there, name) for name in ("logits", "machine", "ensemble", "folds"))


def test_the_studies_of_epoch_and_seed_pool_the_models(monkeypatch):
    there = evidence(_003_model_2=LOW, _003_model_3=HIGH)
    epoch = studies.epoch(there)
    assert epoch[0].value == pytest.approx(np.mean([0.01, 0, 0.02, 0.01, 0.01, 0]))
    assert epoch[1].value == pytest.approx(np.mean([0, 0.0006, 0])) and "3 runs" in epoch[1].n
    monkeypatch.setattr(studies, "NEAR", 0.95)
    seed = studies.seed(there)
    assert seed[0].value == pytest.approx(np.std([0.98, 0.97, 0.98], ddof=1)) and seed[1].value == pytest.approx(0.02 / 3)
    assert studies.seed(evidence(_003_model_2=(LOW[0],))) == []  # one seed has no spread


def test_two_machines_are_compared_with_two_seeds():
    lines = studies.study(evidence(_001_gap=HIGH), "machine")
    assert lines[0].value == pytest.approx(0.0007) and lines[1].value == pytest.approx(0.0012)
    chance = next(line.value for line in lines if line.kind == "share")
    assert chance == pytest.approx(spread.chance_of_difference([0.99, 0.98, 0.98], 0.0007))


def test_a_leak_is_compared_with_the_epoch_that_validation_kept():
    there = evidence(_002_model_1=HIGH, _002_model_1_by_validation=LOW)
    honest = there.results["002-model-1-by-validation"]
    kept = replace(honest, runs=tuple(replace(run, kept_epoch=1) for run in honest.runs))
    reported, of_epoch, *_ = studies.study(replace(there, results=there.results | {kept.step: kept}), "leak")
    assert reported.value == pytest.approx(np.mean([0.99, 0.98, 0.98]) - 0.9) and of_epoch.value == pytest.approx(
        np.mean([0.03, 0.01, 0.02])
    )


def test_a_published_training_accuracy_is_compared_with_one_more_run():
    claim, there = repository.get("003-model-2").claim.train, evidence(_003_model_2=LOW)
    for shift, inside in ((0.0, "1 of 1"), (0.3, "0 of 1")):
        runs = [
            replace(run, history=replace(run.history, train_accuracy=[claim - shift + step]))
            for run, step in zip(there.results["003-model-2"].runs, (-0.001, 0, 0.001), strict=True)
        ]
        moved = replace(there, results={"003-model-2": replace(there.results["003-model-2"], runs=tuple(runs))})
        (line,) = studies.rebuilt(moved)
        low, high = spread.prediction_interval(claim - shift, 0.001, 2, 3)
        assert line.interval == pytest.approx((low - claim, high - claim)) and line.value == pytest.approx(-shift, abs=1e-9)
        assert inside in overview.answer("rebuilt", [vars(line)])


# The pages


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (("difference", 0.0012, (0.0002, 0.0031)), ("+0.12 points", "+0.02 to +0.31 points", "significant")),
        (("difference", -0.1, (-0.2, 0.05)), ("−10.00 points", "inconclusive")),
        (("spread", 0.00056, (0.0004, 0.0009)), ("0.056 points", "0.040 to 0.090 points")),
        (("share", 0.41, None), ("41%",)),
        (("count", 22.0, None), ("22",)),
        (("size", 0.0007, None), ("0.07 points",)),
        (("accuracy", 0.99, (0.98, 0.995)), ("99.00%", "98.00 to 99.50%")),
    ],
)
def test_an_estimate_becomes_words(estimate, words):
    record = {"studies": {"order": [vars(studies.Estimate("A", *estimate, "3 seeds"))]}}
    assert all(word in overview.study(record, "order").text for word in words)
    assert "make published" in overview.study(record, "epoch").text


def test_the_pages_about_all_models_say_what_reproduces():
    bold = replace(repository.get("000-model-3"), recipe=MODEL.recipe, claims=(Claim(best=0.99999),))
    made = placed(MODEL, bold)
    text = overview.findings(made).text
    assert "1 of 2" in text and "Model 3 of session7mnist_ec2 (above, partly inferred)" in text and "8,392" in text
    table = overview.models_table(made)
    assert '<a href="003-model-3.html">Model 3</a>' in table.html and "99.30% (seed sd 0.10)" in table.text
    block = overview.markdown_block(made, "images/a.png", "The figure in words")
    assert "![The figure in words](images/a.png)" in block
    assert (
        "| [Model 3 of mnist-cnn-aws](../reports/published/003-model-3.html) | 7,316 | 99.46% | 99.50% | 99.30% (seed sd 0.10) |" in block
    )
    ablations = overview.ablations_table({"003-model-2-augmented": result("003-model-2-augmented")})
    assert "99.30%" in ablations.text and all(name in overview.other_repositories_table().text for name in ("JoshWarn", "“Model Training”"))


def test_the_headline_counts_all_claims_and_names_their_repositories():
    bold = replace(repository.get("000-model-3"), claims=(Claim(best=0.99999, final=0.993),))
    said = overview.headline(placed(MODEL, bold))
    assert said.text.startswith("3 of 4 claims of 2 public repositories (mnist-cnn-aws and session7mnist_ec2) lie")
    assert f'<a href="https://github.com/{bold.repository}">session7mnist_ec2</a>' in said.html
    assert overview.headline([]).text.startswith("0 of 0 claims of 0 public repositories")


def test_captions_begin_with_what_is_found():
    bold, none = placed(replace(MODEL, claims=(Claim(best=0.99999),))), figures.accuracy_by_parameters([], [])
    assert figures.ladder([*placed(MODEL), *bold]).caption.startswith("2 of 2 headline claims") and none.caption.startswith("Claims")
    assert "and 1 above the best epoch" in figures.ladder([*placed(MODEL), *bold]).caption
    step = example()
    assert figures.accuracy_by_parameters(bold, [step]).caption.startswith(
        f"Highest mean under 8,000 parameters: this series 99.43% (Augmentation, {step.n_parameters:,} parameters), the published models "
        f"99.30% (Model 3 of mnist-cnn-aws, {bold[0].result.n_parameters:,} parameters); highest claim: 100.00%. Claims"
    )
    reached = "1 of 1 recipes of this series (the quickest: Augmentation, 3.8 s a seed) and by 0 of 1 published models"
    timed = figures.accuracy_by_time(bold, [step])
    assert timed.caption.startswith(f"The target of 99.40% is reached on average by {reached}.")


def test_every_step_has_a_label_that_hides_no_mark():
    steps = [replace(example(), step=f"0{n}_step", n_parameters=7_000 + 40 * n) for n in range(6)]  # marks side by side
    figure = figures.accuracy_by_parameters(placed(MODEL), steps)
    labels = [label for axes in figure.axes for label in axes.texts]
    boxes = [label.get_window_extent() for label in labels]  # with the line that leads to it
    assert sorted(label.get_text() for label in labels) == [step.step for step in steps]
    words = [Text.get_window_extent(label) for label in labels]
    marks = [axes.transData.transform(line.get_xydata()) for axes in figure.axes for line in axes.lines if line.get_marker() != "None"]
    marks = np.concatenate([points for points in marks if len(points) == 1])
    assert not any(box.contains(*mark) for box in words for mark in marks) and len(marks) > 2 * len(steps)
    assert not any(one.overlaps(other) for place, one in enumerate(words) for other in words[:place])
    assert all(box.width > word.width or box.height > word.height for box, word in zip(boxes, words, strict=True))


def test_figures_are_told_in_words_and_repeat_their_bytes():
    made = placed(MODEL)
    ladder = figures.ladder(made)
    assert "003-model-3 99.46% and 99.30%" in ladder.alt and ladder.png() == figures.ladder(made).png()
    plane = figures.accuracy_by_parameters(made, [example()])
    assert "1 published model" in plane.alt and "1 step" in plane.alt and plane.png()
    text = plane.svg()
    links = dict(re.findall(r'<a aria-label="([^"]*)" href="([^"]*)"', text))
    assert links["Model 3 of mnist-cnn-aws, here: 99.30%"] == links["Model 3 of mnist-cnn-aws, claimed: 99.46%"] == "003-model-3.html"
    assert links["Shilpaj1994/ERA, session 6, claimed: 99.57%"] == "https://github.com/Shilpaj1994/ERA"
    assert links["Augmentation, this series: 99.43%"] == "../03_augment.html" and 'role="group"' in text
    assert markup.addresses(text) == [] and len(links) == 2 + 18 + 1
    assert "<title>“Model-Building”, claimed: 99.55%</title>" in text and not any("“" in name for name in links)
    timed = figures.accuracy_by_time(made, [example()]).svg()
    assert "2 recipes" in timed and "this series, 3.8 s a seed: 99.43%" in timed
    kernels = figures.kernels({"kernels": {"first": [[[0.1, -0.2], [0.0, 0.3]]], "moved": [[0.0, 0.1], [0.0, 0.2]]}})
    assert "2 of 4 taps" in kernels.alt and kernels.caption.startswith("2 of 4 taps") and kernels.png()
    assert len(LABELS) == N


def test_what_other_repositories_claim_is_read():
    others = collected.OTHERS
    assert len(others) == 22 and all(0.99 < other.best < 1 and (other.final is None or other.final <= other.best) for other in others)
