"""Figures: their words are the data's, their axes the same in every step, their bytes the same every time."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mnistlib import data, formatting, recipe, steps
from mnistlib.published import schedulers
from mnistlib.report import figure_style, html, plots
from mnistlib.runs import storage
from mnistlib.stats import misclassified

TEST, VALIDATION = SimpleNamespace(dataset="mnist", split="test"), SimpleNamespace(dataset="mnist", split="validation")


def run(final: float, epochs: int = 4, train: float = 0.98, loss: float = 0.03) -> storage.History:
    """Return a history that climbs in equal steps to what it ends at."""
    climb = np.linspace(0.9, 1, epochs)
    fall = np.linspace(10, 1, epochs)
    return storage.History(
        list(2 * loss * fall), list(train * climb), list(loss * fall), list(final * climb), [0.1] * epochs, [1.0] * epochs
    )


def trial(history: storage.History, seed: int = 0) -> storage.Trial:
    """Return a trial with that history and nothing else of interest."""
    return storage.Trial("key", seed, history, 0.99, {}, np.zeros(1, np.uint8), np.zeros(1, np.float32), {})


RUNS = [run(0.9943), run(0.9951), run(0.9947)]
LABELS = np.array([3, 3, 5, 7, 9])


def images(n: int) -> torch.Tensor:
    """Return images that differ from each other, with all levels of grey."""
    return torch.randint(0, 256, (n, 28, 28), generator=torch.Generator().manual_seed(n), dtype=torch.uint8)


def judged(groups: np.ndarray | None = None) -> data.Part:
    """Return a few images to judge, the last of them with a label known to be wrong."""
    return data.Part(images(len(LABELS)), torch.from_numpy(LABELS), np.array([10, 20, 30, 40, 947]), groups, groups)


def mistaken(n_seeds: int = 3, groups: np.ndarray | None = None) -> list[misclassified.Mistake]:
    """Return three mistakes: one by all seeds but for the first, one by one seed, and one on a wrong label."""
    predictions = np.tile(LABELS, (n_seeds, 1))
    predictions[1:, 0], predictions[0, 2], predictions[:, 4] = 8, 6, 4
    return misclassified.most_mistaken(predictions, judged(groups), misclassified.known("mnist", "test"))


FIGURES = {
    "curves": lambda: plots.curves(RUNS, TEST),
    "schedule": lambda: plots.schedule(steps.AUGMENT),
    "samples": lambda: plots.samples(judged()),
    "before_after": lambda: plots.before_after(images(10), images(10).float()[:, None] / 255),
    "mistakes": lambda: plots.mistakes(mistaken(), images(5)),
    "confusion": lambda: plots.confusion(np.arange(100.0).reshape(10, 10)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_small_palette_png_of_the_house_width_the_same_each_time_and_describes_itself(name):
    figure = FIGURES[name]()
    content = plots.png(figure)
    picture = Image.open(io.BytesIO(content))
    assert (picture.mode, picture.width, picture.info) == ("P", 2 * figure_style.WIDTH, {})
    assert len(content) < 100_000
    assert picture.convert("RGB").getpixel((picture.width - 1, picture.height - 1)) == (255, 255, 255)
    assert len(plots.alt(figure)) > 30 and plots.alt(figure).endswith(".")
    assert plots.png(FIGURES[name]()) == content


def test_the_alt_text_of_curves_states_the_figures_of_the_data():
    trials = [trial(run(final), seed) for seed, final in enumerate((0.9943, 0.9951, 0.9947))]
    trials[0].history.test_accuracy[2] = 0.9999  # the best epoch is not the last, and is not what is told
    words = plots.alt(plots.curves(trials, TEST))
    assert "4 epochs, 3 seeds" in words
    assert "test mean ends at 99.47% (seeds from 99.43% to 99.51%)" in words
    assert f"target line is at {formatting.percent(recipe.MIN_ACCURACY)}" in words
    assert "running training mean at 98.00%" in words
    assert "test mean goes from 0.3000 to 0.0300, running training mean goes from 0.6000 to 0.0600" in words


def test_one_seed_has_no_mean_and_the_validation_split_is_named():
    figure = plots.curves([run(0.9912)], VALIDATION)
    assert "1 seed. Accuracy: validation ends at 99.12%, running" in plots.alt(figure)
    written = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    assert "validation\n99.12%" in written and "test" not in written + plots.alt(figure)


def test_curves_have_the_same_axes_in_every_step():
    one = plots.curves(RUNS, TEST)
    for other in (plots.curves([run(0.91, epochs=15, train=0.5, loss=0.9)], VALIDATION), plots.curves([run(0.9999, 2, 1.0, 0.001)], TEST)):
        for mine, its in zip(one.axes, other.axes, strict=True):
            assert (mine.get_xlim(), mine.get_ylim()) == (its.get_xlim(), its.get_ylim())
            assert mine.get_position().bounds == its.get_position().bounds
            assert [tick.get_text() for tick in mine.get_yticklabels()] == [tick.get_text() for tick in its.get_yticklabels()]


def test_curves_keep_within_the_axes_and_mark_what_lies_outside():
    upper, lower = plots.curves([run(0.9999, 5, train=0.5, loss=0.0001)], TEST).axes
    for axes in (upper, lower):
        low, high = axes.get_ylim()
        for line in axes.lines:
            heights = np.asarray(line.get_ydata(), float)
            assert heights.size == 0 or (heights.min() >= low - 1e-9 and heights.max() <= high + 1e-9)
    marks = {(line.get_color(), line.get_marker()): len(line.get_xdata()) for line in upper.lines if line.get_marker() in ("^", "v")}
    # Every training accuracy is below the axis, the first three of the test images' too, their last one above it.
    assert marks == {(figure_style.ORANGE, "v"): 5, (figure_style.ORANGE, "^"): 0, (figure_style.BLUE, "v"): 3, (figure_style.BLUE, "^"): 1}


def test_labels_at_the_ends_of_curves_do_not_overlap():
    figure = plots.curves([run(0.9951, train=0.9950)], TEST)
    plots.png(figure)
    for axes in figure.axes:
        ends = [text.get_window_extent() for text in axes.texts if "\n" in text.get_text()]
        assert len(ends) == 2 and not ends[0].overlaps(ends[1])


def test_curves_of_seeds_that_have_not_come_as_far_end_where_all_have_been():
    late = run(0.995, 4)
    late.test_accuracy[0] = late.train_accuracy[0] = late.test_loss[0] = late.train_loss[0] = math.nan  # resumed after its first epoch
    words = plots.alt(plots.curves([late, run(0.99, 3)], TEST))
    assert formatting.percent((late.test_accuracy[2] + 0.99) / 2) in words and "nan" not in words
    assert "nan" not in plots.alt(plots.curves([run(0.99, 1), storage.History(*[[math.nan]] * 6)], TEST))


def test_the_target_line_stands_at_the_target():
    upper = plots.curves(RUNS, TEST).axes[0]
    flat = [line for line in upper.lines if line.get_linestyle() == "--" and set(line.get_xdata()) == {0, 1}]
    assert [1 - 10 ** -line.get_ydata()[0] for line in flat] == pytest.approx([recipe.MIN_ACCURACY])


def test_a_schedule_says_its_peak_and_when():
    made = replace(steps.SKELETON, epochs=10, optimizer=recipe.Optimizer(lr=0.25), schedule=recipe.Schedule(0.3, "linear"))
    figure = plots.schedule(made, steps=50)
    assert plots.alt(figure) == "Learning rate over 10 epochs: it is highest, 0.25, at epoch 3, and 0.00036 in the last step."
    cycled = replace(made, schedule=schedulers.OneCycle(rise=0.2))
    assert "it is highest, 0.25, at epoch 2, and 1e-06 in the last step." in plots.alt(plots.schedule(cycled))
    drawn = figure.axes[0].lines[0]
    middles = (np.arange(500) + 0.5) / 50  # of every step, in epochs
    assert drawn.get_xdata() == pytest.approx(middles)
    assert drawn.get_ydata() == pytest.approx([0.25 * made.schedule.factor(epoch / 10) for epoch in middles])


def test_samples_show_each_group_of_writers_or_the_first_and_the_last():
    groups = np.array([4, 0, 4, 0, 4])
    assert plots.alt(plots.samples(judged(groups))) == (
        "Sample images: written by students, 3 digits; written by census employees, 2 digits."
    )
    figure = plots.samples(judged())
    assert "the first of each digit, 4 digits; the last of each digit, 4 digits" in plots.alt(figure)
    drawn = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    assert np.array_equal(drawn[0], images(5)[0]) and np.array_equal(drawn[4], images(5)[1])  # the first and the last three


def test_before_and_after_stand_below_each_other():
    before, after = images(12), images(10).float()[:, None] / 255
    figure = plots.before_after(before, after, after)
    assert plots.alt(figure) == "10 images as they are, and the same warped at random by 2 draws."
    shown = figure.axes[0].images
    assert len(shown) == 30 and shown[3].get_extent()[:2] == shown[13].get_extent()[:2] == shown[23].get_extent()[:2]
    assert np.array_equal(shown[13].get_array(), after[3, 0])


def test_mistakes_show_label_reading_votes_and_writer_and_frame_known_wrong_labels():
    figure = plots.mistakes(mistaken(groups=np.array([4, 0, 0, 4, 0])), images(5))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:9] == ["9 → 4", "3 of 3", "employee", "3 → 8", "2 of 3", "student", "5 → 6", "1 of 3", "employee"]
    assert "framed: a label known to be wrong, by human vote" in texts
    thick = [patch for patch in figure.axes[0].patches if patch.get_linewidth() > 2]
    assert len(thick) == 1
    assert np.array_equal(figure.axes[0].images[0].get_array(), images(5)[4])
    words = plots.alt(figure)
    assert words.startswith("The 3 most mistaken images, 1 of them misread by every seed; most often 9 read as 4 (1)")
    assert words.endswith("Framed as known wrong labels: 1.")


def test_a_net_without_mistakes_has_an_empty_gallery():
    assert plots.alt(plots.mistakes([], images(5))) == "No image was misread."


def test_confusion_counts_errors_and_leaves_the_diagonal_blank():
    matrix = np.zeros((10, 10))
    matrix[4, 9], matrix[7, 2], matrix[3, 3] = 2.4, 0.2, 990
    figure = plots.confusion(matrix)
    assert {text.get_position(): text.get_text() for text in figure.axes[0].texts} == {(9, 4): "2.4", (2, 7): "0.2"}
    assert plots.alt(figure) == "Confusion table: 2.6 errors a seed on average; most often 4 read as 9 (2.4), 7 read as 2 (0.2)."
    assert plots.alt(plots.confusion(np.diag(matrix[3]))) == "Confusion table: 0.0 errors a seed on average."


@pytest.mark.parametrize("name", FIGURES)
def test_a_stamp_stands_above_a_figure_and_in_its_alt_text_once(name):
    figure = FIGURES[name]()
    height, alt = figure.get_figheight(), plots.alt(figure)
    inches = [box.height * height for box in (axes.get_position() for axes in figure.axes)]
    stamped = plots.stamp(plots.stamp(figure, html.OFFLINE), html.OFFLINE)
    assert plots.alt(stamped) == f"{html.OFFLINE}. {alt}"
    grown = stamped.get_figheight()
    assert [axes.get_position().height * grown for axes in stamped.axes] == pytest.approx(inches)
    assert max(axes.get_position().y1 * grown for axes in stamped.axes) <= height + 1e-9
    picture = Image.open(io.BytesIO(plots.png(stamped))).convert("RGB")
    red, green, blue = picture.getpixel((4, 4))
    assert red > 140 and green < 100 and blue < 40
    assert [text.get_text() for text in stamped.texts] == [html.OFFLINE]
