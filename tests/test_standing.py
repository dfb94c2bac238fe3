"""Claims beside seeds: like with like, what a claim is made of, and the studies' estimates."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats
from test_results import N_TEST, mnist, trial

from mnistlib import files
from mnistlib.errors import ResultError
from mnistlib.published import (
    registry,
    replication,
    selection_bias,
    site_answers,
    site_cloud,
    site_kernels,
    site_ladder,
    site_scale,
    studies,
    tables,
)
from mnistlib.published import site_index as site
from mnistlib.published.estimates import Found, Line
from mnistlib.report import index, markup, results
from mnistlib.report.result import Result
from mnistlib.stats import intervals

ROW = replace(registry.get("003-model-3"), recipe=replace(registry.get("003-model-3").recipe, epochs=4))


def result(row=ROW, finals=((0.97, 0.993, 0.995, 0.994), (0.97, 0.992, 0.991, 0.993), (0.97, 0.99, 0.994, 0.992))) -> Result:
    """Return a result of these accuracies per seed and epoch."""
    runs = []
    for seed, accuracies in enumerate(finals):
        made = trial(seed, round((1 - accuracies[-1]) * N_TEST), epochs=len(accuracies))
        runs.append(replace(made, history=replace(made.history, test_accuracy=list(accuracies))))
    about = {"n_parameters": row.n_parameters, "n_macs": 856_940, "receptive_field": 22, "provenance": runs[0].provenance}
    return results.make(row.step, mnist(), runs, claim=replication.claim_of(row), **about)


def test_a_standing_takes_a_claim_apart():
    beside = replication.of(ROW, result())
    assert beside.bests == (0.995, 0.993, 0.994) and beside.lasts == (0.994, 0.993, 0.992)
    assert (beside.best, beside.its_last, beside.luckiest) == (0.995, 0.994, 0) and beside.mean == pytest.approx(0.993)
    assert beside.by_epoch == pytest.approx(0.001) and beside.by_seed == pytest.approx(0.001)
    assert beside.place() == "" and not beside.leaks  # the range is known only among other rows


def placed(*rows: registry.Row) -> list[replication.Standing]:
    return replication.beside([replication.of(row, result(row)) for row in rows])


def test_a_claim_lies_inside_above_or_below_the_range_of_one_seed_more():
    bold = replace(ROW, claims=(registry.Claim("here", 0.9999, 0.95),))
    silent, least = (
        replace(ROW, claims=(registry.Claim("here", 0.994),)),
        replace(ROW, claims=(registry.Claim("here", None, 0.9, least=True),)),
    )
    honest, above, no_last, bound, inferred = placed(ROW, bold, silent, least, replace(ROW, inferred=True))
    assert honest.place() == "inside" == honest.place(best=False) and (above.place(), above.place(best=False)) == ("above", "below")
    assert no_last.place() == "inside" and no_last.place(best=False) == "" == bound.place()
    assert bound.place(best=False) == "kept" and inferred.place() == "inside"
    (beyond,) = placed(replace(ROW, claims=(registry.Claim("here", None, 0.9999, least=True),)))
    assert beyond.place(best=False) == "above"
    assert bound.row.claim.headline == 0.9 and registry.get("002-model-3").claim.least
    low, high = honest.one_more_last  # narrower than what three seeds alone would tell
    assert 0 < high - low < 2 * stats.t.ppf(0.975, 2) * 0.001 * math.sqrt(1 + 1 / 3)


def test_variances_are_moderated_as_far_as_they_agree():
    draws = np.random.default_rng(3)
    alike = [float(draws.normal(0, 1, 3).var(ddof=1)) for _ in range(4_000)]
    same = intervals.moderated(alike, [2] * len(alike))
    assert same[0][1] > 100 and np.std([variance for variance, _ in same]) < 0.1
    unlike = [float(draws.normal(0, sd, 3).var(ddof=1)) for sd in np.sqrt(4 / draws.chisquare(4, 4_000))]
    freedoms = [freedom for _, freedom in intervals.moderated(unlike, [2] * len(unlike))]
    assert freedoms[0] == pytest.approx(2 + 4, rel=0.15)  # four was put in above
    assert intervals.moderated([1.0, math.nan], [2, 0]) == [(1.0, 2), pytest.approx((math.nan, 1), nan_ok=True)]


def test_only_a_full_run_on_the_test_images_stands_beside_a_claim():
    with pytest.raises(ResultError, match="no full run"):
        replication.of(ROW, replace(result(), limit=500))
    with pytest.raises(ResultError, match="no full run"):
        replication.of(registry.get("003-model-3"), result())  # another recipe: fewer epochs
    assert "no claim" in tables.against(ROW, replace(result(), split="validation")).text


def test_a_page_says_claim_recipe_and_comparison_in_words():
    text = tables.claim(registry.get("000-model-3")).text
    assert "13,808 in an earlier version, 8,392 in truth" in text and "98.49%" in text and "not said" in text
    assert "This is 003-model-2, changed for a study" in tables.claim(registry.get("003-model-2-augmented")).text
    recipe = tables.recipe(registry.get("000-model-4").recipe).text
    for words in (
        "SGD, momentum 0.9, Nesterov, weight decay 0.0001",
        "0.01, times 0.1 after every 6 epochs",
        "64 images",
        "rotation ±10°, shear",
    ):
        assert words in recipe, words
    assert (
        "Adam" in tables.recipe(registry.get("001-gap").recipe).text and "one cycle" in tables.recipe(registry.get("001-gap").recipe).text
    )
    assert "a leak; keeps the last epoch" in tables.recipe(registry.get("002-model-3").recipe).text
    assert "set aside" in tables.recipe(registry.get("002-model-3-by-validation").recipe).text
    assert "0.01 throughout" in tables.recipe(registry.get("004-part-1").recipe).text
    crop = tables.recipe(registry.get("004-part-3").recipe).text
    assert "centre crop to 22 pixels and back, for 10% of the images, then rotation ±15°" in crop
    text = tables.against(ROW, result()).text
    assert "99.46%" in text and "99.40 ± 0.10%" in text and "99.30% to 99.50%" in text and "+0.10 points" in text and "SageMaker" in text
    said = tables.claims(ROW, result())
    assert [claim.supported for claim in said] == [False, False, True]
    assert tables.curves(ROW)["Colab"][-1] == 0.994 and tables.curves(registry.get("001-gap")) == {}


def test_a_claim_of_at_least_so_much_is_kept_by_any_seed_above_it():
    for least, supported in ((0.9, True), (0.9999, False)):
        row = replace(ROW, claims=(registry.Claim("here", None, least, least=True),))
        said = tables.claims(row, result())[-1]
        assert said.supported == supported and said.figures.startswith("at least ")


@pytest.mark.parametrize("name", [*registry.ROWS, *registry.ARMS])
def test_every_recipe_has_words(name):
    text = tables.recipe(registry.get(name).recipe).text
    assert "object" not in text and "mnistlib" not in text and "None" not in text


def test_intervals_of_few_values_are_students_and_chi_squares():
    values = [0.991, 0.993, 0.9935, 0.992]
    sd = float(np.std(values, ddof=1))
    bounds = [sd * math.sqrt(3 / stats.chi2.ppf(q, 3)) for q in (0.975, 0.025)]
    assert intervals.deviation(sd, 3) == pytest.approx(tuple(bounds))
    draws = np.random.default_rng(1).normal(0, 1, (4_000, 6))
    ranges = [(row, intervals.one_more(row[:5].mean(), row[:5].std(ddof=1), 4, 5)) for row in draws]
    assert np.mean([low <= row[5] <= high for row, (low, high) in ranges]) == pytest.approx(0.95, abs=0.012)
    assert intervals.apart(values, 0.0007) == pytest.approx(2 * stats.t.sf(0.0007 / (sd * math.sqrt(2)), 3))
    groups = [np.array([0.0, 0.2]), np.array([1.0, 1.2]), np.array([2.0, 2.2])]
    low, high = intervals.clustered(groups)
    assert (low, high) == pytest.approx((0.1, 2.1)) and intervals.clustered(groups * 20)[0] == pytest.approx(1.1 - 0.2, abs=0.06)
    assert intervals.clustered([np.array([1.0, 1.0])]) == (1.0, 1.0)


def found(**finals) -> Found:
    """Return results under the names of rows, with underscores for dashes."""
    made = {name.replace("_", "-"): result(replace(registry.get(name), recipe=ROW.recipe), values) for name, values in finals.items()}
    wrong = {name: np.stack([np.arange(N_TEST) < round((1 - run.final) * N_TEST) for run in made[name].runs]) for name in made}
    return Found(made, wrong, mnist())


LOW, HIGH = ((0.9, 0.93, 0.92), (0.9, 0.91, 0.91), (0.9, 0.92, 0.9)), ((0.9, 0.99, 0.98), (0.9, 0.98, 0.97), (0.9, 0.98, 0.98))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Give every row here runs as short as those made up above."""
    monkeypatch.setattr(results, "_check", lambda trials, recipe: None)


def test_studies_compare_what_is_there_and_leave_out_what_is_not():
    there = found(**{"003_model_2": LOW, "003_model_3": HIGH, "003_model_2_augmented": HIGH})
    lines = studies.augmentation(there).lines
    assert [line.what.split(",")[0] for line in lines] == ["As claimed", "The same here", "All that changed", "Augmentation alone"]
    assert lines[0].value == pytest.approx(0.0013) and lines[0].interval is None
    assert lines[1].value == pytest.approx(np.mean([0.99, 0.98, 0.98]) - np.mean([0.93, 0.91, 0.92]))
    assert lines[2].value == pytest.approx(np.mean([0.98, 0.97, 0.98]) - np.mean([0.92, 0.91, 0.9])) and lines[2].interval[0] > 0
    whole = replace(there, results={**there.results, "003-model-3-unaugmented": there.results["003-model-2"]})
    whole = replace(whole, wrong={**there.wrong, "003-model-3-unaugmented": there.wrong["003-model-2"]})
    both = next(line for line in studies.augmentation(whole).lines if line.what.endswith("both together"))
    assert both.value == pytest.approx(lines[2].value) and both.interval[0] > 0
    answer = site_answers.augmentation([vars(line) for line in studies.augmentation(whole).lines])
    assert answer.startswith("+0.13 points were claimed for all of it, from one run each; augmentation alone gives +6.67")
    assert answer.endswith("), told apart from none.") and site_answers.augmentation([vars(line) for line in lines]) == ""
    assert studies.logits(there).lines == [] and studies.machine(there).lines == [] and studies.ensemble(there, files.root()).lines == []


def test_the_studies_of_epoch_and_seed_pool_the_rows(monkeypatch):
    there = found(**{"003_model_2": LOW, "003_model_3": HIGH})
    epoch = selection_bias.epoch(there).lines
    assert epoch[0].what == "All models" and epoch[0].value == pytest.approx(np.mean([0.01, 0, 0.02, 0.01, 0.01, 0]))
    assert epoch[1].value == pytest.approx(np.mean([0, 0.0006, 0])) and "3 runs" in epoch[1].n  # as their authors report them
    monkeypatch.setattr(selection_bias, "NEAR", 0.95)
    seed = selection_bias.seed(there).lines
    assert seed[0].value == pytest.approx(np.std([0.98, 0.97, 0.98], ddof=1)) and seed[1].value == pytest.approx(0.02 / 3)
    assert selection_bias.seed(found(**{"003_model_2": (LOW[0],)})).lines == []  # one seed spreads nowhere


def test_two_machines_are_held_against_two_seeds():
    lines = studies.machine(found(**{"001_gap": HIGH})).lines
    assert lines[0].value == pytest.approx(0.0007) and lines[1].value == pytest.approx(0.0012)
    chance = next(line.value for line in lines if line.kind == "share")
    assert chance == pytest.approx(intervals.apart([0.99, 0.98, 0.98], 0.0007))
    assert "chance alone may explain it" in site_answers.machine([vars(line) for line in lines])


def test_a_leak_is_held_against_the_epoch_that_validation_kept():
    there = found(**{"002_model_1": HIGH, "002_model_1_by_validation": LOW})
    honest = there.results["002-model-1-by-validation"]
    there = replace(there, results={**there.results, honest.step: replace(honest, runs=tuple(replace(run, kept=1) for run in honest.runs))})
    reported, of_epoch, *_ = studies.leak(there).lines
    assert reported.value == pytest.approx(np.mean([0.99, 0.98, 0.98]) - 0.9)
    assert of_epoch.value == pytest.approx(np.mean([0.03, 0.01, 0.02]))
    answer = site_answers.leak([vars(line) for line in studies.leak(there).lines])
    assert answer.startswith(
        "What is reported under the leak differs from what is honest by +8.33 points (Model_1); told apart from none: 1 of 1"
    )


def test_a_published_training_accuracy_is_held_against_one_further_run():
    claim = registry.get("003-model-2").claim.train
    there = found(**{"003_model_2": LOW})
    for shift, told in ((0.0, "1 of 1"), (0.3, "0 of 1")):
        runs = [
            replace(run, train_accuracy=(claim - shift + step,))
            for run, step in zip(there.results["003-model-2"].runs, (-0.001, 0, 0.001), strict=True)
        ]
        moved = replace(there, results={"003-model-2": replace(there.results["003-model-2"], runs=tuple(runs))})
        (line,) = selection_bias.rebuilt(moved).lines
        low, high = intervals.one_more(claim - shift, 0.001, 2, 3)
        assert line.interval == pytest.approx((low - claim, high - claim)) and line.value == pytest.approx(-shift, abs=1e-9)
        assert site_answers.rebuilt([vars(line)]).endswith(f"{told}.")


def test_an_estimate_becomes_words():
    said = site.estimate(vars(Line("A against B", "difference", 0.0012, (0.0002, 0.0031), "3 and 3 seeds")))
    assert said["figure"] == "+0.12 points" and said["interval"] == "+0.02 to +0.31 points" and said["said"] == "more accurate"
    assert site.estimate(vars(Line("A", "difference", -0.1, (-0.2, -0.05), "")))["said"] == "less accurate"
    assert site.estimate(vars(Line("A", "difference", -0.1, (-0.2, 0.05), "")))["said"] == "not told apart"
    assert site.estimate(vars(Line("A", "spread", 0.00056, (0.0004, 0.0009), "")))["figure"] == "0.056 points"
    assert site.estimate(vars(Line("A", "share", 0.41, None, "")))["figure"] == "41%"
    assert site.estimate(vars(Line("A", "count", 22.0, None, "")))["figure"] == "22"
    size = site.estimate(vars(Line("A", "size", 0.0007, None, "")))
    assert size["figure"] == "0.07 points" and size["said"] == "" == site.estimate(vars(Line("A", "gain", 0.1, (0.0, 0.2), "")))["said"]


def standings() -> list[replication.Standing]:
    """Return two rows' standings, one claimed too high."""
    return placed(ROW, replace(registry.get("000-model-3"), recipe=ROW.recipe, claims=(registry.Claim("here", 0.99999),)))


def test_the_index_tells_every_row_and_plainly_where_it_differs():
    every, said = Line("All", "gain", 0.001, (0.0, 0.002), "", role="measured"), Line("Said", "gain", 0.0003, None, "", role="reported")
    record = {"schema": 1, "studies": [{"name": "epoch", "lines": [vars(every), vars(said)]}], "kernels": None}
    text = site.page(standings(), record, [], [replace(result(), step="003-model-2-augmented")], {"003-model-3"})
    assert markup.addresses(text) == ["../index.html", "003-model-3.html"] or markup.addresses(text) == []
    assert '<a href="003-model-3.html">Model 3</a>' in text and 'href="000-model-3.html"' not in text
    assert "Claimed best epoch above where one further seed would lie: Model 3 of session7mnist_ec2 (partly inferred)." in text
    assert "13,808 printed, later put right; 8,392 true" in text and "Not all of the 17 models are trained yet" in text
    assert "How much of a claim is the choice of the epoch?" in text and "How much is one seed?" not in text
    assert "<strong>Choosing the epoch adds +0.10 points (0.00 to +0.20 points) to a seed; the authors&#39; own logs show" in text
    assert "99.46%" in text and "chosen on the test set" in text and "<code>003-model-2-augmented</code>" in text


def test_a_leak_and_an_inferred_recipe_are_marked_wherever_their_figures_stand():
    leaking = replace(registry.get("002-model-3"), recipe=replace(registry.get("002-model-3").recipe, epochs=4))
    (each,) = placed(leaking)
    assert each.leaks and site.marks(each) == "steered by the test images, partly inferred"
    record = {"schema": 1, "studies": [], "kernels": None}
    assert "steered by the test images, partly inferred" in site.page([each], record, [], [], set())
    assert "(steered by the test images)" in site_ladder.inline([each]) and "steered by the test images" in site.block([each])
    assert "at least 97.90%" in site.block([each]) and site.line(each).claim == "not said"


def test_the_ladder_places_every_mark_by_its_accuracy():
    both = standings()
    drawing = ElementTree.fromstring(site_ladder.file(both))
    name = "{http://www.w3.org/2000/svg}"
    lasts = [dot for dot in drawing.iter(f"{name}circle") if dot.get("class") == "last"]
    dots = [float(dot.get("cx").rstrip("%")) for dot in lasts]
    shown = [(each.row.claim.headline, each.best, each.its_last, each.mean, *each.result.summary.interval) for each in both]
    axis = site_scale.around([value for row in shown for value in row])
    assert dots == pytest.approx(
        [site_ladder.LEFT + (site_ladder.RIGHT - site_ladder.LEFT) * axis.share(each.its_last) for each in both], abs=0.02
    )
    assert site_ladder.alt(both) == drawing.get("aria-label") and "claimed 99.46%, best epoch 99.50%" in site_ladder.alt(both)
    assert axis.share(0.994) - axis.share(0.993) > axis.share(0.99) - axis.share(0.989)
    assert site_scale.around([0.9931, 0.9949]) == site_scale.Scale(0.992, 0.995)


def test_the_cloud_shows_measured_and_claimed(tmp_path):
    drawing = site_cloud.inline(standings(), [replace(result(), step="03_augment")])
    for kind, n in (("claim", 2), ("row", 2), ("own", 1)):
        assert drawing.count(f'class="{kind}"') == n
    assert "<title>woncoh1/era1a7: claimed 99.48%</title>" in drawing
    ElementTree.fromstring(drawing)


def test_the_kernels_show_what_never_moved():
    drawing = site_kernels.inline({"first": [[[0.5, -0.2], [0.1, 0.0]]], "moved": [[0.0, 0.0], [0.0, 0.3]]})
    assert "3 of 4 taps did not move at all" in drawing and drawing.count('class="none"') == 4
    ElementTree.fromstring(drawing)


def test_readme_gets_the_table_between_its_own_marks(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n\n<!-- published:begin -->\nold\n<!-- published:end -->\n\nThe end.\n")
    site.build_readme(standings(), readme, tmp_path / "images")
    text = readme.read_text()
    assert "old" not in text and text.endswith("<!-- published:end -->\n\nThe end.\n") and "(images/published.svg)" in text
    assert "[Model 3 of mnist-cnn-aws](reports/published/003-model-3.html) | 7,316 | 99.46% | 99.50% | 99.30 ± 0.10% |" in text
    assert "Yet to be trained: 15 of 17 models." in text
    assert "no results yet" in site.block([])
    with pytest.raises(ResultError, match="published:begin"):
        index.replaced("no marks", "", topic="published")
