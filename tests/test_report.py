"""What notebooks display: escaped, captioned, in numbers that are the data's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from example_results import LABELS, mnist, result, run
from html_tables import Tables, rows

from mnistlib import files, formatting, models, recipe, recipe_dict, steps
from mnistlib.report import html, model_summary, recipe_diff, result_tables, tables
from mnistlib.stats import comparison, misclassified

BEFORE = recipe.Recipe("narrow")
MINE = steps.Step("03_before", "Before", BEFORE)
NET = model_summary.of(models.build("narrow"))
HUGE = replace(BEFORE, model="weighted")
DECAY = replace(BEFORE, optimizer=recipe.Optimizer(weight_decay=5e-4))
RECORD = {
    "step": "02_regularise",
    "before": "01_capacity",
    "splits": ["fold 1 of 3", "fold 2 of 3"],
    "n_eval": [4_000, 6_000],
    "seeds": [0, 1],
    "rule": "the <best> mean",
    "chosen": "decay",
    "candidates": [
        {
            "name": name,
            "idea": idea,
            "change": [idea] if name != "nothing" else [],
            "recipe": recipe_dict.to_dict(made),
            "n_parameters": n,
            "n_macs": 432_160,
            "final": [mean - 0.0004, mean + 0.0004 + extra],
            "loss": 0.0312,
            "mean": mean,
            "sd": 0.00051,
        }
        for name, idea, made, n, mean, extra in (
            ("nothing", "As it is.", BEFORE, 7_706, 0.9921, 0),
            ("decay", "Pull <b>.", DECAY, 7_706, 0.99345, 0.0001),
            ("huge", "More.", HUGE, 10_848, 0.9951, 0.0002),
        )
    ],
}
RESULT = result()
RUNS = list(RESULT.runs)
PREDICTIONS = [run.predictions for run in RUNS]
WRONG = misclassified.most_misclassified(PREDICTIONS, mnist().eval, misclassified.label_errors("test"))


def starting(shown: html.Shown, words: str) -> list[str]:
    """Return the one row whose heading starts so."""
    [row] = [cells for name, cells in rows(shown).items() if name.startswith(words)]
    return row


EVERYTHING = {
    "limits": lambda: result_tables.limits(),
    "change": lambda: tables.change(steps.get("01_capacity")),
    "first": lambda: tables.change(steps.get("00_skeleton")),
    "candidates": lambda: tables.candidates(RECORD),
    "layers": lambda: tables.layers(NET),
    "statistics": lambda: tables.statistics(mnist()),
    "curves": lambda: result_tables.curves_table(RUNS, "test"),
    "result": lambda: result_tables.result(RESULT),
    "misclassified": lambda: result_tables.misclassified(WRONG, "test"),
    "confusion": lambda: result_tables.confusion(misclassified.confusion_matrix(PREDICTIONS, LABELS), "test"),
    "groups": lambda: result_tables.groups({"students": 0.9931, "census employees": 0.9962}, "test"),
    "claims": lambda: result_tables.claims([comparison.Claim("It helps.", "supported", "+0.1 points")]),
    "provenance": lambda: result_tables.provenance(RESULT),
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_table_has_a_caption_and_headings_with_a_scope(name):
    shown = EVERYTHING[name]()
    read = Tables(shown.html)
    assert not read.stack and set(read.classes) == {"figures"} and len(read.captions) == len(read.classes) and all(read.captions)
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in read.cells if tag == "th")
    assert len({len(row) for row in read.rows}) == len(read.classes) or len(read.classes) > 1
    assert all(row[0] for row in read.rows)  # a row or a column without a heading says nothing to a screen reader
    assert read.captions[0] in repr(shown) and "<" not in repr(shown).replace("the <best> mean", "").replace("Pull <b>.", "")


def test_text_is_escaped_everywhere():
    nasty = '<script>alert("&")</script>'
    shown = [
        html.table(nasty, [nasty, nasty], [[nasty, nasty]], [nasty, nasty]),
        html.sentence(nasty, "note"),
        html.folded(nasty, html.phrase(nasty)),
        html.badge("below", nasty),
        result_tables.claims([comparison.Claim(nasty, "refuted", nasty)]),
        result_tables.provenance(replace(RESULT, provenance={"cpu": nasty, "commit": nasty})),
        result_tables.result(RESULT, nasty),
        tables.candidates(RECORD | {"rule": nasty}),
        tables.saved(files.root() / nasty.replace("/", "")),
    ]
    for each in shown:
        assert "<script" not in each.html and "&lt;script&gt;" in each.html


def test_columns_of_numbers_line_up_and_long_words_may_wrap():
    text = html.table("A caption", ["Name", "Count", "Word"], [["a", "1,024", "few"], ["b", "−0.5", "many words " * 5]]).html
    assert text.count('class="number"') == 3 and '<td class="number">1,024</td>' in text and text.count('class="words"') == 1


def test_the_targets_are_the_constants():
    said = repr(result_tables.limits())
    for text in (formatting.percent(recipe.MIN_ACCURACY), formatting.count(recipe.MAX_PARAMETERS), formatting.count(recipe.MAX_EPOCHS)):
        assert text in said


def test_a_change_shows_the_recipe_and_the_layers_side_by_side():
    step = steps.Step("04_mine", "Mine", replace(BEFORE, model="skeleton", dropout=0.1))
    shown = tables.change(step, MINE)
    said = rows(shown)
    assert said["model"] == ["narrow", "skeleton"] and said["dropout"] == ["0", "0.1"]
    old, new = NET, model_summary.of(models.build("skeleton", 0.1))
    assert said["Total"] == [formatting.count(old.n_parameters), "", "", formatting.count(new.n_parameters), ""]
    assert all(layer.kind in said for layer in old.layers)
    dropped = next(row for row in Tables(shown.html).rows if "dropout 0.1" in row)
    assert dropped[-1] == "new" and dropped[0] == "none"


def test_a_change_that_leaves_the_layers_says_so_and_the_first_step_shows_all():
    kept = tables.change(replace(MINE, recipe=replace(BEFORE, epochs=3)), MINE)
    assert rows(kept)["epochs"] == ["15", "3"] and formatting.count(NET.n_parameters) in repr(kept) and "Total" not in repr(kept)
    first = rows(tables.change(steps.get("00_skeleton")))
    assert first["optimizer.lr"] == [formatting.number(steps.SKELETON.optimizer.lr)] and first["augment"] == ["none"]
    assert "nothing" in repr(tables.change(MINE, MINE))


def test_candidates_are_ranked_with_mean_and_spread_and_the_chosen_one_marked():
    shown = tables.candidates(json.loads(json.dumps(RECORD)))
    read = Tables(shown.html).rows[1:]
    assert [row[0] for row in read] == ["huge", "decay (chosen)", "nothing"]
    assert [row[2] for row in read] == ["99.51% (fold sd 0.05)", "99.34% (fold sd 0.05)", "99.21% (fold sd 0.05)"]
    assert [row[-1] for row in read] == [recipe_diff.summary(made, steps.CAPACITY) for made in (HUGE, DECAY, BEFORE)]
    assert [row[4] for row in read] == ["0.0312"] * 3
    assert [row[5] for row in read] == ["10,848 (over the limit)", "7,706", "7,706"] and "0.43 M" in read[0]
    assert "<strong>decay (chosen)</strong>" in shown.html and "10,000 images in 2 folds" in repr(shown)
    assert "no record" in repr(tables.candidates(None))


def test_a_candidate_is_compared_with_the_chosen_one_on_the_same_folds():
    against = {row[0]: row[3] for row in Tables(tables.candidates(RECORD).html).rows[1:]}
    mean, half = 13.5 + 0.5, 12.706 * 0.5  # images of 10,000: the two folds differ by 13.5 and 14.5; t with one degree of freedom
    assert against["nothing"] == f"−{mean:.1f} images (−{mean + half:.1f} to −{mean - half:.1f} images)"
    assert against["decay (chosen)"] == "" and against["huge"].startswith("+")


def test_a_search_shows_every_round_what_was_kept_and_what_failed():
    about = {name: RECORD[name] for name in ("n_eval", "splits")} | {"base": recipe_dict.to_dict(BEFORE), "question": "Which?"}
    failed = {"name": "wild", "idea": "", "change": ["optimizer"], "failed": "Seed 0 diverged."}
    effects = [{"factor": "batch_size", "values": [64, 32], "value": 0.0004, "interval": [-0.0001, 0.0009]}]
    nets = about | {"name": "nets", "candidates": [*RECORD["candidates"], failed], "kept": ["huge", "nothing"]}
    shown = tables.rounds({"rounds": [about | {"name": "recipe", "candidates": RECORD["candidates"], "effects": effects}, nets]})
    said = repr(shown)
    assert "Recipe: Which?" in said and rows(shown)["batch_size"] == ["64", "32", "+4.0 images (−1.0 to +9.0 images)"]
    assert "<strong>huge (kept)</strong>" in shown.html and "<strong>nothing (kept)</strong>" in shown.html
    assert "Not trained to the end: wild. Seed 0 diverged." in said and said.count("wild") == 1
    twice = {name: RECORD[name] * 2 for name in ("n_eval", "splits")}
    rows_ = [row | {"final": [*row["final"], *row["final"]]} for row in RECORD["candidates"]]
    again = repr(tables.rounds({"rounds": [about | twice | {"name": "again", "candidates": rows_}]}))
    n, folds = formatting.count(sum(RECORD["n_eval"])), len(RECORD["splits"])
    assert f"on {n} images in {folds} folds" in again and f"deviation of {2 * folds} seeds" in again  # an image counts once
    assert repr(tables.rounds(None)) == repr(tables.candidates(None)) == repr(tables.rounds({"rounds": []}))


def test_statistics_count_the_data_and_measure_its_pixels():
    said = rows(tables.statistics(mnist()))
    assert said["Images"] == ["1,000", "1,000"] and said["Writers"] == ["50", "50"]
    assert said["Images by students"] == ["300", "300"] and said["Images by census employees"] == ["700", "700"]
    assert said["Images of 7"] == ["100", "100"]
    pixels = mnist().train.images.double() / 255
    assert said["Mean of the pixels"][0] == formatting.decimals(pixels.mean().item())
    assert said["Standard deviation of the pixels"][0] == formatting.decimals(pixels.std(correction=0).item())
    assert rows(tables.statistics(mnist("validation", 1)))["Images"] == ["1", "1,000"]


def test_layers_and_budget_state_the_net():
    said = rows(tables.layers(NET))
    assert said["Total"][1] == "7,706" and said["Total"][2] == "432,160" and said["conv 16→16 3x3, norm, ReLU"][1] == "2,336"
    assert len(Tables(tables.layers(NET).html).rows) == len(NET.layers) + 2
    assert "7,706" in repr(tables.budget(NET)) and "293 to spare" in repr(tables.budget(NET)) and "width: 77.1%" in tables.budget(NET).html
    assert "1 too many" in repr(tables.budget(replace(NET, n_parameters=8_000)))
    assert "0 to spare" in repr(tables.budget(replace(NET, n_parameters=7_999)))
    bars = {n: tables.budget(replace(NET, n_parameters=n)).html for n in (7_999, 8_000, 20_000)}
    assert ["over" in bar for bar in bars.values()] == [False, True, True] and "left: 40.0%" in bars[20_000]  # the mark is the limit


def test_source_is_the_function_as_it_is():
    shown = tables.source("skeleton")
    assert "head(16 * c, nn.Flatten())" in repr(shown) and 'class="highlight"' in shown.html
    assert "def strided(" in repr(tables.source("selection.nets:strided"))
    assert repr(tables.source(models.NETS["skeleton"])) == repr(shown) == repr(tables.source("selection.nets:wide"))


def test_the_curves_table_holds_every_seed_and_epoch():
    shown = result_tables.curves_table(RUNS, "test")
    assert shown.html.startswith('<details class="data">')
    said = rows(shown)
    assert said["Epoch"][-3:] == ["Seed 0", "Seed 1", "Seed 2"] and list(said)[1:] == ["1", "2", "3"]
    assert said["3"] == ["0.0500", "0.0600", "0.0300", "98.00%", "99.43% (seed sd 0.21)", "99.60%", "99.50%", "99.20%"]
    assert rows(result_tables.curves_table(RUNS[:1], "test"))["3"][-1] == "99.60%"


def test_a_result_states_target_and_achieved_with_badges():
    shown, summary = result_tables.result(RESULT), RESULT.summary
    assert starting(shown, "Accuracy on the test images") == ["at least 99.40%", "99.43% (seed sd 0.21)", "at or above"]
    assert starting(shown, "Parameters") == ["fewer than 8,000", "7,706", "within"]
    assert starting(shown, "Epochs") == ["at most 15", "3", "within"]
    lowest = formatting.percent(summary.lowest_mean)
    assert starting(shown, "Lowest mean") == ["at least 99.40%", lowest, "not held"] and summary.lowest_mean < 0.9
    assert starting(shown, "Seeds at or above the target after")[0] == comparison.share(summary.n_pass, 3)
    assert starting(shown, "Seeds at or above the target in each")[0] == comparison.share(summary.n_held, 3)
    assert starting(shown, "95% interval of the mean: other seeds and other writers")[0] == formatting.interval(summary.interval)
    assert starting(shown, "95% interval of the mean: the same test images")[0] == formatting.interval(summary.seed_interval)
    assert starting(shown, "Test loss")[0] == "0.0300" and starting(shown, "Expected calibration error")[0] == "0.57%"
    assert "cost not known" in (time := starting(shown, "Time of the quickest seed")[0]) and time.startswith(
        formatting.seconds(min(RESULT.seconds))
    )
    assert starting(shown, "Lowest and highest")[0] == "99.20% and 99.60%"
    assert shown.html.count('class="verdict good"') == 2 and shown.html.count('class="verdict bad"') == 1


def test_a_best_epoch_is_shown_only_as_chosen_on_the_evaluated_images():
    RUNS[0].history.eval_accuracy[1] = 0.997
    best = [name for name, cells in rows(result_tables.result(RESULT)).items() if cells[0].endswith("at most 99.70%")]
    RUNS[0].history.eval_accuracy[1] = 0.946
    assert len(best) == 1 and "chosen on the test images" in best[0]
    validation = repr(result_tables.result(replace(RESULT, split="validation")))
    assert "validation" in validation and "test" not in validation


def test_a_mean_just_below_the_target_does_not_look_like_it():
    near = replace(RESULT.summary, final_mean=0.993996, accuracy=replace(RESULT.summary.accuracy, interval=(0.99399, 0.995)))
    shown = result_tables.result(replace(RESULT, summary=near))
    assert starting(shown, "Accuracy on the test images")[1].startswith("99.3996%")
    assert starting(shown, "95% interval of the mean: other seeds")[0] == "99.399 to 99.500%"


def test_without_a_verdict_there_is_no_badge_but_a_reason():
    shown = result_tables.result(result(verdict=False))
    assert 'class="verdict' not in shown.html and "no verdict" in repr(shown) and "1,000" in repr(shown)
    assert "Verdict" not in repr(shown)


def test_a_difference_is_shown_or_the_reason_why_there_is_none():
    assert "There is none." in repr(result_tables.result(RESULT, "There is none."))
    difference = comparison.Difference("02_regularise", RESULT.summary.accuracy, (-0.0001, 0.0013))
    shown = result_tables.result(
        replace(RESULT, difference=difference, since_first=replace(difference, from_="00_skeleton")), "There is none."
    )
    for name in ("02_regularise", "00_skeleton"):
        assert starting(shown, f"Difference from {name}")[0] == comparison.figures(difference)
    assert "There is none." not in repr(shown) and "the same images, other seeds: −1.0 to +13.0)" in comparison.figures(difference)


def test_a_single_seed_has_no_interval_over_other_seeds():
    shown = result_tables.result(result(n_wrong=(4,)))
    assert "none" in starting(shown, "95% interval of the mean: the same")[0] and "other seeds and" not in repr(shown)


def test_goals_are_reached_or_missed_one_by_one():
    found = rows(result_tables.goals(RESULT, goal=(0.994, 0.9921), minimum=(0.9939, 0.992)))
    summary = RESULT.summary
    wanted = {"Mean of the seeds: the goal": (summary.final_mean, 0.994), "Lowest seed: the goal": (summary.final_min, 0.9921)}
    wanted |= {"Mean of the seeds: the minimum": (summary.final_mean, 0.9939), "Lowest seed: the minimum": (summary.final_min, 0.992)}
    words = {name: found[name][-1] for name in wanted}
    assert words == {name: "reached" if value >= least else "missed" for name, (value, least) in wanted.items()}
    assert words["Lowest seed: the goal"] == "missed" and words["Lowest seed: the minimum"] == "reached"


def test_what_training_cost_is_stated_where_a_price_is_known():
    for provenance, words in (({"cost": 0.0121}, "$0.012"), ({"cost_at_most": 2.0}, "$2.00"), ({"cost": None}, "cost not known")):
        assert words in starting(result_tables.result(replace(RESULT, provenance=provenance)), "Time of the quickest seed")[0]


def test_errors_are_listed():
    said = rows(result_tables.misclassified(WRONG, "test"))
    assert said["0"] == [formatting.confusion(0, 1), "3 of 3", "students", "0", ""] and said["7"][1] == "1 of 3"
    assert "wrong" in rows(result_tables.misclassified([replace(WRONG[0], label_error="majority")], "test"))["0"][-1]
    table = rows(result_tables.confusion(misclassified.confusion_matrix(PREDICTIONS, LABELS), "test"))
    assert table["4"] == ["", "", "", "", "", "0.7", "", "", "", "", "0.7"]
    assert table["All"][-1] == formatting.mean_count((4 + 5 + 8) / 3)


@pytest.mark.parametrize(
    ("outcome", "colour"), [("supported", "good"), ("refuted", "bad"), ("inconclusive", "fair"), ("no comparison", "")]
)
def test_claims_show_their_outcome(outcome, colour):
    shown = result_tables.claims([comparison.Claim("A.", outcome, "x")])
    assert rows(shown)["A."] == [outcome, "x"] and f'class="verdict {colour}'.strip() in shown.html


def test_provenance_lists_what_is_known():
    said = rows(result_tables.provenance(RESULT))
    assert (
        said["Training time, all seeds"] == ["1 min 15 s"]
        and said["Commit, or those of its runs"] == ["abc"]
        and "GPU" not in said
        and said["Data sha256"] == ["d" * 64]
    )
    cost = replace(RESULT, provenance={"cost": None, "instance_seconds": 90.0})
    assert list(rows(result_tables.provenance(cost)).values())[1:3] == [["cost not known"], ["1 min 30 s"]]


def test_a_verdict_is_one_word_and_every_limit_that_is_exceeded():
    assert result_tables.verdict_words(None).text == "none"
    shown = result_tables.verdict_words(comparison.Verdict("over", "within", "below", "not held"))
    assert shown.text == "below, not held, parameters over" and shown.html.count('class="verdict bad"') == 3
    row = result_tables.row(replace(RESULT, summary=replace(RESULT.summary, n_held=1)))
    assert (row["Seeds passing"].text, row["Seeds holding"].text, row["Quickest seed"].text) == (
        "2 of 3",
        "1 of 3",
        formatting.seconds(min(RESULT.seconds)),
    )


def test_a_saved_result_is_handed_to_programs_and_its_text_says_nothing_of_the_machine(tmp_path):
    shown = tables.saved(tmp_path / "results" / "03_augment.json")
    bundle = shown._repr_mimebundle_()
    assert bundle[tables.RESULT_MIMETYPE] == {"result": "results/03_augment.json"}
    assert bundle["text/html"] == shown.html and bundle["text/plain"] == repr(shown)
    assert html.together([html.phrase("a"), shown]).data == shown.data
    assert "03_augment.json" in repr(shown) and str(tmp_path) not in repr(shown)
    assert "build/results/x.json" in repr(tables.saved(files.root() / "build" / "results" / "x.json"))


def test_seeds_that_ended_earlier_leave_cells_blank():
    runs = [run(0, 4, 3), run(1, 5, 2)]
    said = rows(result_tables.curves_table(runs, "test"))
    assert said["2"][-1] == "99.50%" and said["3"] == ["", "", "", "", "", "99.60%", ""]
    kept = replace(RESULT, runs=(*runs[:1], replace(runs[1], kept_epoch=2)))
    assert "kept" in repr(result_tables.result(kept)) and "99.60%" in repr(result_tables.result(kept))


def test_waste_is_named_below_the_layers():
    net = model_summary.of(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)))
    assert net.wasted and net.wasted[0] in repr(tables.layers(net))
