"""What notebooks display: escaped, captioned, in numbers that are the data's."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import asdict, replace
from html.parser import HTMLParser
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

from mnistlib import data, files, formatting, models, recipe, steps
from mnistlib.published import schedulers, transforms
from mnistlib.report import display, model_summary, plots, results, tables
from mnistlib.report import html as html_tables
from mnistlib.runs import storage
from mnistlib.runs.progress import Progress
from mnistlib.stats import misclassified
from mnistlib.stats import summary as evidence

MNIST = SimpleNamespace(dataset="mnist", split="test", notes=())
DIGITS = SimpleNamespace(dataset="digits", split="test", notes=("An offline sample.",))
LABELS = torch.arange(1_000) % 10
SHAPE = {"n_parameters": 7_706, "n_macs": 432_160, "receptive_field": 22, "provenance": {"seconds": 75.0, "commit": "abc", "gpu": None}}


def trial(seed: int, n_wrong: int, epochs: int = 3) -> storage.Trial:
    """Return a finished seed that gets the first images wrong, fewer of them in its second epoch."""
    accuracy = [1 - n_wrong / 1_000] * epochs
    accuracy[1] = 1 - (n_wrong - 1) / 1_000
    history = storage.History([0.5] * epochs, [0.9] * epochs, [0.1] * epochs, accuracy, [0.05] * epochs, [1.25] * epochs)
    predictions = LABELS.numpy().astype(np.uint8)
    predictions[:n_wrong] = (predictions[:n_wrong] + 1) % 10
    return storage.Trial(f"{seed:024x}", seed, history, 0.999, {"w": torch.ones(2)}, predictions, np.ones(1_000, np.float32), {})


TRIALS = [trial(0, 4), trial(1, 5), trial(2, 8)]


def mnist(**changed: object) -> data.Mnist:
    """Return a data set whose images hold every level of grey equally often."""
    images = torch.arange(256, dtype=torch.uint8).repeat(1_000 * 784 // 256 + 1)[: 784 * 1_000].reshape(1_000, 28, 28)
    writers = np.arange(1_000) // 20
    test = data.Part(images, LABELS, np.arange(1_000), writers, np.where(writers < 15, 4, 0))
    return replace(data.Mnist("mnist", "test", None, test, test, "d" * 64, "./data"), **changed)


def result(trials=TRIALS, on: data.Mnist | None = None, **changed: object):
    """Make the result of a step of three epochs."""
    made = replace(steps.AUGMENT, epochs=len(trials[0].history.seconds))
    return results.make(steps.get("03_augment"), on or mnist(), trials, recipe=made, **(SHAPE | changed))


class Tables(HTMLParser):
    """Reads the tables of a piece of HTML: captions, classes, and every cell with its name, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.captions, self.rows, self.cells, self.classes, self.stack = [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        """Begin a table, row, cell or caption."""
        self.stack.append(tag)
        if tag == "table":
            self.classes.append(dict(attrs).get("class"))
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            self.cells.append((tag, dict(attrs)))
        if tag == "caption":
            self.captions.append("")

    def handle_data(self, text: str) -> None:
        """Add text to the cell or caption it is in."""
        if "caption" in self.stack:
            self.captions[-1] += text
        elif "th" in self.stack or "td" in self.stack:
            self.rows[-1][-1] += text

    def handle_endtag(self, tag: str) -> None:
        """End what was begun last."""
        assert tag == self.stack.pop(), f"</{tag}> ends something else"


def rows(shown: html_tables.Shown) -> dict[str, list[str]]:
    """Return a table's rows by their headings."""
    return {row[0]: row[1:] for row in Tables(shown._repr_html_()).rows}


NET = model_summary.of(models.build("average"))
RECORD = {
    "step": "02_regularise",
    "before": "01_capacity",
    "split": "validation",
    "n_judged": 10_000,
    "seeds": [0, 1, 2],
    "rule": "the <best> mean",
    "chosen": "decay",
    "candidates": [
        {"name": name, "idea": idea, "change": change, "recipe": asdict(made), "n_parameters": n, "mean": mean, "sd": 0.00051}
        for name, idea, change, made, n, mean in (
            ("nothing", "As it is.", [], steps.CAPACITY, 7_706, 0.9921),
            ("decay", "Pull <b>.", ["optimizer"], replace(steps.CAPACITY, optimizer=recipe.Optimizer(weight_decay=5e-4)), 7_706, 0.99345),
            ("huge", "More.", ["model"], replace(steps.CAPACITY, model="skeleton"), 10_848, 0.9951),
        )
    ],
}
PREDICTIONS = [trial.predictions for trial in TRIALS]
FOUND = misclassified.most_mistaken(PREDICTIONS, mnist().test, misclassified.known("mnist", "test"))
EVERYTHING = {
    "limits": lambda about: tables.limits(),
    "change": lambda about: tables.change(steps.get("01_capacity")),
    "first": lambda about: tables.change(steps.get("00_skeleton")),
    "candidates": lambda about: tables.candidates(RECORD),
    "layers": lambda about: tables.layers(NET),
    "statistics": lambda about: tables.statistics(mnist(dataset=about.dataset)),
    "curves_table": lambda about: tables.curves_table(TRIALS, about),
    "result": lambda about: tables.result(result(on=mnist(dataset=about.dataset))),
    "mistakes": lambda about: tables.mistakes(FOUND, about),
    "confusion": lambda about: tables.confusion(misclassified.confusion(PREDICTIONS, LABELS), about),
    "changes": lambda about: tables.changes(
        [misclassified.Change(4, 9, 2.0, 1.2), misclassified.Change(7, 2, 0.0, 0.4)], "02_regularise", about
    ),
    "groups": lambda about: tables.groups({"students": 0.9931, "census employees": 0.9962}, about),
    "claims": lambda about: tables.claims([evidence.Claim("It helps.", True, "+0.1 points")], about),
    "provenance": lambda about: tables.provenance(result(on=mnist(dataset=about.dataset))),
}
SHOW_DATA = [name for name in EVERYTHING if name not in ("limits", "change", "first", "candidates", "layers")]


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_table_has_a_caption_and_headings_with_a_scope(name):
    shown = EVERYTHING[name](MNIST)
    read = Tables(shown._repr_html_())
    assert not read.stack and set(read.classes) == {"figures"} and len(read.captions) == len(read.classes)
    assert all(read.captions) and html_tables.OFFLINE not in "".join(read.captions)
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in read.cells if tag == "th")
    assert len({len(row) for row in read.rows}) == len(read.classes) or len(read.classes) > 1
    assert all(row[0] for row in read.rows)  # a row or a column without a heading says nothing to a screen reader
    assert read.captions[0] in repr(shown) and "<" not in repr(shown).replace("the <best> mean", "").replace("Pull <b>.", "")


@pytest.mark.parametrize("name", SHOW_DATA)
def test_every_table_of_the_offline_sample_says_so(name):
    assert Tables(EVERYTHING[name](DIGITS)._repr_html_()).captions[0].startswith(f"{html_tables.OFFLINE}. ")


def test_text_is_escaped_everywhere():
    nasty = '<script>alert("&")</script>'
    shown = [
        html_tables.table(nasty, [nasty, nasty], [[nasty, nasty]], [nasty, nasty]),
        html_tables.sentence(nasty, "note"),
        html_tables.folded(nasty, html_tables.phrase(nasty)),
        html_tables.badge("missed", nasty),
        tables.notes(replace(mnist(), notes=(nasty,))),
        tables.claims([evidence.Claim(nasty, False, nasty)], MNIST),
        tables.provenance(result(provenance={"cpu": nasty, "commit": nasty})),
        tables.result(result(), nasty),
        tables.candidates(RECORD | {"rule": nasty}),
        tables.statistics(mnist(origin=nasty)),
        tables.saved(files.root() / nasty.replace("/", "")),
    ]
    for each in shown:
        assert "<script" not in each._repr_html_() and "&lt;script&gt;" in each._repr_html_()


def test_columns_of_numbers_line_up_and_long_words_may_wrap():
    html = html_tables.table(
        "A caption", ["Name", "Count", "Word"], [["a", "1,024", "few"], ["b", "−0.5", "many words " * 5]]
    )._repr_html_()
    assert html.count('class="number"') == 3 and '<td class="number">1,024</td>' in html and html.count('class="words"') == 1


def test_a_figure_comes_with_its_alt_text_and_width_and_is_stamped_offline():
    shown = tables.figure(plots.curves(TRIALS, MNIST), MNIST)
    content, about = shown._repr_mimebundle_()
    picture = Image.open(io.BytesIO(base64.b64decode(content["image/png"])))
    assert picture.mode == "P" and about["image/png"]["width"] * 2 == picture.width
    assert "ends at 99.43%" in about["image/png"]["alt"] and content["text/plain"] == about["image/png"]["alt"] == repr(shown)
    offline = tables.figure(plots.curves(TRIALS, DIGITS), DIGITS)
    assert offline.alt == f"{html_tables.OFFLINE}. {shown.alt}" and Image.open(io.BytesIO(offline.png)).height > picture.height


def test_the_targets_are_the_constants():
    said = repr(tables.limits())
    for text in (formatting.percent(recipe.MIN_ACCURACY), formatting.count(recipe.MAX_PARAMETERS), formatting.count(recipe.MAX_EPOCHS)):
        assert text in said


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"dropout": 0.05}, [("dropout", "0", "0.05")]),
        ({"epochs": 12}, [("epochs", "15", "12")]),
        ({"model": "deep"}, [("model", "average", "deep")]),
        ({"augment": recipe.Augment(rotate=7.0)}, [("augment.rotate", "none", "7")]),
        ({"augment": recipe.Augment(rotate=7.0, shift=1)}, [("augment.rotate", "none", "7"), ("augment.shift", "none", "1")]),
        ({"augment": recipe.Augment()}, [("augment", "none", "defaults")]),
        ({"optimizer": recipe.Optimizer(lr=0.3)}, [("optimizer.lr", "0.1", "0.3")]),
        ({"schedule": recipe.Schedule(anneal="linear")}, [("schedule.anneal", "cosine", "linear")]),
        ({}, []),
    ],
)
def test_the_difference_of_two_recipes_names_just_what_changed(changed, expected):
    before = steps.CAPACITY
    assert list(tables.differences(replace(before, **changed), before)) == expected


def test_the_way_back_is_told_too():
    warped = replace(steps.CAPACITY, augment=recipe.Augment(rotate=7.0))
    assert list(tables.differences(steps.CAPACITY, warped)) == [("augment", "rotate 7", "none")]
    turned = replace(steps.CAPACITY, augment=(transforms.Rotation(degrees=7), transforms.ResizedCrop(scale=(0.8, 1.0))))
    assert list(tables.differences(turned, steps.CAPACITY)) == [
        ("augment", "none", "rotation (degrees 7), then resized crop (scale 0.8 to 1)")
    ]
    cycled = replace(steps.CAPACITY, schedule=schedulers.OneCycle(), steering=recipe.Steering(by="judged"))
    assert list(tables.differences(cycled, steps.CAPACITY)) == [
        ("schedule", "defaults", "one cycle (defaults)"),
        ("steering.by", "none", "judged"),
    ]


def test_a_change_shows_the_recipe_and_the_layers_side_by_side():
    step = steps.Step("04_mine", "Mine", replace(steps.CAPACITY, model="skeleton", dropout=0.1), None)
    shown = tables.change(step, steps.get("01_capacity"))
    said = rows(shown)
    assert said["model"] == ["average", "skeleton"] and said["dropout"] == ["0", "0.1"]
    old, new = NET, model_summary.of(models.build("skeleton", 0.1))
    assert said["Total"] == [formatting.count(old.n_parameters), "", "", formatting.count(new.n_parameters), ""]
    for layer in old.layers:
        assert layer.kind in said
    drop = next(row for row in Tables(shown._repr_html_()).rows if "dropout 0.1" in row)
    assert drop[-1] == "new" and drop[0] == ""


def test_a_change_that_leaves_the_layers_says_so_and_the_first_step_shows_all():
    kept = tables.change(replace(steps.get("01_capacity"), recipe=replace(steps.CAPACITY, epochs=3)), steps.get("01_capacity"))
    assert rows(kept)["epochs"] == ["15", "3"] and f"stay the same, {formatting.count(NET.n_parameters)} parameters" in repr(kept)
    first = rows(tables.change(steps.get("00_skeleton")))
    assert first["optimizer.lr"] == [formatting.number(steps.SKELETON.optimizer.lr)] and first["augment"] == ["none"]
    assert "nothing changes" in repr(tables.change(steps.get("01_capacity"), steps.get("01_capacity")))


def test_candidates_are_ranked_with_mean_and_spread_and_the_chosen_one_marked():
    shown = tables.candidates(json.loads(json.dumps(RECORD)))
    read = Tables(shown._repr_html_()).rows[1:]
    assert [row[0] for row in read] == ["huge", "decay", "nothing"]
    assert [row[-2:] for row in read] == [["99.51 ± 0.05%", ""], ["99.34 ± 0.05%", "chosen"], ["99.21 ± 0.05%", ""]]
    assert [row[2:4] for row in read] == [
        ["model skeleton", "10,848 (over the limit)"],
        ["optimizer.weight_decay 0.0005", "7,706"],
        ["nothing", "7,706"],
    ]
    assert "<strong>decay</strong>" in shown._repr_html_() and "3 seeds each on 10,000 validation images" in repr(shown)
    assert "No choice is on record" in repr(tables.candidates(None))


def test_statistics_count_the_data_and_measure_its_pixels():
    said = rows(tables.statistics(mnist()))
    assert said["Images"] == ["1,000", "1,000"] and said["Writers"] == ["50", "50"]
    assert said["Images by students"] == ["300", "300"] and said["Images by census employees"] == ["700", "700"]
    assert said["Images of 7"] == ["100", "100"]
    pixels = mnist().train.images.double() / 255
    assert said["Mean of the pixels"][0] == formatting.fraction(pixels.mean().item())
    assert said["Standard deviation"][0] == formatting.fraction(pixels.std(correction=0).item())


def test_statistics_of_unknown_writers_name_none():
    bare = replace(mnist().test, writers=None, groups=None)
    assert "Writers" not in rows(tables.statistics(mnist(test=bare, train=bare)))


def test_notes_are_banners_for_the_offline_sample_alone():
    assert tables.notes(DIGITS)._repr_html_() == '<p class="banner">An offline sample.</p>'
    assert tables.notes(replace(mnist(), notes=("One.", "Two.")))._repr_html_() == '<p class="note">One.</p>\n<p class="note">Two.</p>'
    assert tables.notes(mnist())._repr_html_() == ""
    assert html_tables.OFFLINE in tables.notes(mnist(dataset="digits"))._repr_html_()


def test_layers_and_budget_state_the_anatomy():
    said = rows(tables.layers(NET))
    assert said["Total"] == ["", "7,706", "432,160", "22 px"] and said["conv 16→16 3x3, norm, ReLU"][1] == "2,336"
    assert len(Tables(tables.layers(NET)._repr_html_()).rows) == len(NET.layers) + 2
    assert "7,706 parameters where fewer than 8,000 are allowed: 293 to spare." in repr(tables.budget(NET))
    assert 'value="7706"' in tables.budget(NET)._repr_html_()
    assert "1 too many" in repr(tables.budget(replace(NET, n_parameters=8_000)))
    assert "0 to spare" in repr(tables.budget(replace(NET, n_parameters=7_999)))


def test_waste_is_named_below_the_layers():
    net = model_summary.of(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)))
    assert net.wasted and net.wasted[0].sentence in repr(tables.layers(net))


def test_source_is_the_function_as_it_is():
    shown = tables.source(models.NETS["average"])
    assert "conv(8, 12, padding=0)" in repr(shown) and 'class="highlight"' in shown._repr_html_()


def test_the_curves_table_holds_every_seed_and_epoch():
    shown = tables.curves_table(TRIALS, MNIST)
    assert shown._repr_html_().startswith('<details class="data">\n<summary>The data as a table</summary>')
    said = rows(shown)
    assert said["Epoch"][-3:] == ["Seed 0", "Seed 1", "Seed 2"] and list(said)[1:] == ["1", "2", "3"]
    assert said["3"] == ["0.0500", "0.5000", "0.1000", "90.00%", "99.43 ± 0.21%", "99.60%", "99.50%", "99.20%"]
    assert rows(tables.curves_table(TRIALS[:1], MNIST))["3"][-1] == "99.60%"
    assert rows(tables.curves_table(result().runs, MNIST)) == said


def test_a_result_states_target_and_achieved_with_badges():
    made = result()
    said = rows(tables.result(made))
    summary = made.summary
    accuracy = "Accuracy on the test images at the last epoch, mean over the seeds"
    assert said[accuracy] == ["at least 99.40%", "99.43 ± 0.21%", made.verdict.accuracy]
    assert said["Parameters"] == ["fewer than 8,000", "7,706", "kept"] and said["Epochs"] == ["at most 15", "3", "kept"]
    assert said["Seeds that keep the accuracy over the last 3 epochs"] == ["all", formatting.of(summary.n_held, 3), ""]
    passing = said["Seeds at or above the target at the last epoch"][1]
    assert passing == f"2 of 3 (of all seeds {formatting.interval(summary.pass_interval, 0)}, Clopper-Pearson 95%)"
    interval = said["95% interval of the mean, resampling seeds and writers"][1]
    assert interval == formatting.interval(summary.interval)
    assert said["Lowest and highest seed at the last epoch"][1] == "99.20% and 99.60%"
    html = tables.result(made)._repr_html_()
    assert f'<span class="verdict {made.verdict.accuracy}">' in html and '<span class="verdict kept">kept</span>' in html


def test_a_best_epoch_is_shown_only_as_chosen_on_the_test_set():
    said = rows(tables.result(result()))
    best = [name for name, cells in said.items() if "99.70%" in cells]  # seed 0 in its second epoch
    assert best == ["Best epoch of any seed, chosen on the test set"]
    assert "chosen on the validation set" in repr(tables.result(result(on=mnist(split="validation"))))
    assert "test" not in repr(tables.result(result(on=mnist(split="validation"))))


def test_a_mean_just_below_the_target_does_not_look_like_it():
    trials = [trial(0, 6), trial(1, 6), trial(2, 6), trial(3, 6), trial(4, 6)]
    trials[4] = trial(4, 7)  # mean 99.38; of 10,000 images it would be closer
    near = replace(result(trials).summary, final_mean=0.993996, interval=(0.99399, 0.995))
    said = rows(tables.result(replace(result(trials), summary=near)))
    assert said["Accuracy on the test images at the last epoch, mean over the seeds"][1].startswith("99.3996 ±")
    assert said["95% interval of the mean, resampling seeds and writers"][1] == "99.399 to 99.500%"


@pytest.mark.parametrize(
    ("on", "sentence"),
    [(mnist(dataset="digits"), "not MNIST"), (mnist(limit=1_000), "this run trained on 1,000 images")],
)
def test_without_a_verdict_there_is_no_badge_but_a_reason(on, sentence):
    shown = tables.result(result(on=on))
    assert "verdict" not in shown._repr_html_().replace("no verdict", "") and sentence in repr(shown)
    assert "Verdict" not in rows(shown)["Measure"]


def test_a_difference_is_shown_or_the_reason_why_there_is_none():
    assert "There is none." in repr(tables.result(result(), "There is none."))
    made = replace(result(), difference=evidence.Difference("02_regularise", 0.0006, (-0.0001, 0.0013)))
    shown = tables.result(made, "There is none.")
    assert rows(shown)["Against 02_regularise"][1] == "+0.06 points (95% interval −0.01 to +0.13 points), not told apart"
    assert "There is none." not in repr(shown)


def test_mistakes_and_confusion_state_what_was_misread():
    said = rows(tables.mistakes(FOUND, MNIST))
    assert said["0"] == ["0 read as 1", "3 of 3", "students", "0"] and said["7"] == ["7 read as 8", "1 of 3", "students", "0"]
    flagged = [replace(FOUND[0], known="majority")]
    assert rows(tables.mistakes(flagged, MNIST))["0"][-1] == "wrong, by majority"
    bare = [replace(FOUND[0], writer=None, group=None)]
    assert rows(tables.mistakes(bare, MNIST))["Image"] == ["Commonest misreading", "Seeds"]
    table = rows(tables.confusion(misclassified.confusion(PREDICTIONS, LABELS), MNIST))
    assert table["4"] == ["", "", "", "", "", "0.7", "", "", "", "", "0.7"]
    assert table["All"][-1] == formatting.mean_count((4 + 5 + 8) / 3)


def test_changes_list_what_went_and_what_came():
    said = rows(EVERYTHING["changes"](MNIST))
    assert said["4 read as 9"] == ["2.0", "1.2", "rarer"] and said["7 read as 2"] == ["0.0", "0.4", "more common"]
    assert "No kind of error" in repr(tables.changes([], "02_regularise", MNIST))


def test_claims_are_supported_or_not():
    html = tables.claims([evidence.Claim("A.", True, "x"), evidence.Claim("B.", False, "y")], MNIST)._repr_html_()
    assert '<span class="verdict supported">supported</span>' in html and '<span class="verdict refuted">not supported</span>' in html


def test_provenance_lists_what_is_known():
    said = rows(tables.provenance(result()))
    assert said["Seconds"] == ["1 min 15 s"] and said["Commit"] == ["abc"] and "Gpu" not in said and said["Data sha256"] == ["d" * 64]


def test_saved_names_a_path_that_says_nothing_of_the_machine(tmp_path):
    assert repr(tables.saved(files.root() / "build" / "results" / "x.json")) == "Saved as build/results/x.json."
    assert repr(tables.saved(tmp_path / "x.json")) == "Saved as x.json."


LIVE = """
from types import SimpleNamespace
from mnistlib.report import display
from mnistlib.runs.progress import Progress
live = display.Live(SimpleNamespace(dataset="mnist", split="test"))
live.__init__.__globals__["_REST"] = 0
so_far = []
for epoch in (2, 3, 4):
    so_far.append(Progress(0, epoch, 4, 0.2, 0.95, 0.1, 0.99 + epoch / 1_000, 0.05, 1.0, 4.0 - epoch))
    live(so_far)
"""


class FrontEnd(NotebookClient):
    """Runs a notebook as a front end with someone in front of it would: the kernel may ask for input."""

    async def async_start_new_kernel_client(self, **kwargs):
        """Connect as a front end does."""
        client = await super().async_start_new_kernel_client(**kwargs)
        client.allow_stdin = True
        return client


@pytest.mark.slow
@pytest.mark.parametrize(("client", "n_outputs"), [(NotebookClient, 0), (FrontEnd, 1)])
def test_a_live_curve_is_one_output_for_a_reader_and_none_for_papermill(client, n_outputs):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LIVE)])
    client(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(files.root())}}).execute()
    outputs = notebook.cells[0].outputs
    assert len(outputs) == n_outputs
    for output in outputs:
        assert "test ends at 99.40%" in output.metadata["image/png"]["alt"] and output.data["image/png"]


def test_the_live_curve_sorts_epochs_by_seed():
    lines = [Progress(seed, epoch, 3, 0.2, 0.9, 0.1, 0.5 + epoch / 10, 0.05, 1.0, 1.0) for seed, epoch in ((1, 2), (0, 1), (1, 3), (0, 2))]
    first, second = display.so_far_by_seed(lines)
    assert first.test_accuracy == [0.6, 0.7] and np.isnan(second.test_accuracy[0]) and second.test_accuracy[1:] == [0.7, 0.8]


def test_a_saved_result_is_handed_to_programs_beside_its_text(tmp_path):
    shown = tables.saved(tmp_path / "results" / "03_augment.json")
    bundle = shown._repr_mimebundle_()
    assert bundle[tables.RESULT_MIMETYPE] == {"result": "results/03_augment.json"}
    assert bundle["text/html"] == shown.html and bundle["text/plain"] == repr(shown)
    assert html_tables.together([html_tables.phrase("a"), shown]).data == shown.data
