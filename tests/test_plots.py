"""Figures: their words are the data's, their axes the same in every step, their bytes the same every time."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from example_results import history, images, result, run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from mnistlib import formatting, models, recipe, steps
from mnistlib.report import figure_style, image_figures, live_curves, model_summary, plots
from mnistlib.runs.progress import Progress
from mnistlib.stats import comparison, intervals, misclassified
from mnistlib.train import History

RUNS = [history(0.994, 4), history(0.996, 4), history(0.995, 4)]
LABELS = np.array([3, 3, 5, 7, 9])
GROUPS = np.array([4, 0, 4, 0, 4])


def random_images(n: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 28, 28), generator=torch.Generator().manual_seed(n), dtype=torch.uint8)


def five():
    """Return a few images, the last of them with a label known to be wrong."""
    return replace(images(5), images=random_images(5), labels=torch.from_numpy(LABELS), ids=np.array([10, 20, 30, 40, 947]), groups=GROUPS)


def wrong() -> list[misclassified.Misclassified]:
    """Return three misclassified images of three seeds: by two, by one, and one with a wrong label by all."""
    predictions = np.tile(LABELS, (3, 1))
    predictions[1:, 0], predictions[0, 2], predictions[:, 4] = 8, 6, 4
    return misclassified.most_misclassified(predictions, five(), misclassified.label_errors("test"))


FIGURES = {
    "curves": lambda: plots.curves(RUNS, "test"),
    "schedule": lambda: plots.schedule(steps.AUGMENT),
    "accuracies": lambda: plots.accuracies([result("00_skeleton", (4, 5)), result("03_augment", (5, 5))]),
    "samples": lambda: image_figures.samples(five()),
    "augmented": lambda: image_figures.augmented(random_images(10), random_images(10).float()[:, None] / 255),
    "misclassified": lambda: image_figures.misclassified(wrong(), random_images(5)),
    "confusion": lambda: image_figures.confusion(np.arange(100.0).reshape(10, 10)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_small_palette_png_the_same_each_time_with_alt_text(name):
    figure = FIGURES[name]()
    content = figure.png()
    picture = Image.open(io.BytesIO(content))
    assert (picture.mode, picture.width, picture.info) == ("P", 2 * figure_style.WIDTH, {})
    assert len(content) < 100_000
    assert picture.convert("RGB").getpixel((picture.width - 1, picture.height - 1)) == (255, 255, 255)
    data, about = figure._repr_mimebundle_()
    kind = "image/svg+xml" if figure.vector else "image/png"
    assert data.keys() == {kind, "text/plain"} and data["text/plain"] == figure.alt
    assert about[kind] == {"alt": figure.alt, "caption": figure.caption or figure.alt, "width": figure_style.WIDTH, "inline": True}
    assert len(figure.caption) > 20 and figure.caption.endswith(".")
    assert len(figure.alt) > 30 and figure.alt.endswith(".")
    assert FIGURES[name]().png() == content


@pytest.mark.parametrize("name", FIGURES)
def test_no_title_is_cut_off(name):
    figure = FIGURES[name]()
    renderer = FigureCanvasAgg(figure).get_renderer()
    titles = [title for axes in figure.axes for title in (axes.title, axes._left_title, axes._right_title)]
    for title in filter(Text.get_text, titles):
        assert title.get_window_extent(renderer).x1 <= figure.bbox.width and title.get_window_extent(renderer).x0 >= 0, title.get_text()


@pytest.mark.parametrize("name", [name for name, draw in FIGURES.items() if draw().vector])
def test_an_svg_follows_the_page_and_is_the_same_each_time(name):
    figure = FIGURES[name]()
    text = figure.svg()
    root = ElementTree.fromstring(text)
    assert root.get("aria-label") == figure.alt and root.get("role") == "img" and FIGURES[name]().svg() == text
    assert "var(--ink, #1f2328)" in text and not re.search(r"(?<!, )#(?:0072b2|d55e00|007a5a|1f2328|5b636d|d9dde2)", text)
    assert "<style" not in text and "<script" not in text and len(text) < 150_000
    words = {each.get_text() for each in figure.findobj(Text) if each.get_visible()} & {"test\n99.50%", "00_skeleton", "Learning rate"}
    assert all(word.split("\n")[0] in "".join(root.itertext()) for word in words) and words, "words are words, and no outlines"
    referred = set(re.findall(r'(?:href="#|url\(#)([\w-]+)', text))
    assert referred == set(re.findall(r' id="([^"]*)"', text)), "a name that nothing refers to would come twice on a page"


def test_the_pointer_shows_what_was_measured():
    tips = re.findall(r"<title>([^<]*)</title>", plots.curves(RUNS, "test").svg())
    assert len(tips) == 2 * 4 and tips[3].startswith("Epoch 4") and "test accuracy 99.50%" in tips[3] and "training loss" in tips[3]
    dots = re.findall(r"<title>([^<]*)</title>", plots.accuracies([result("03_augment", (5, 7))]).svg())
    assert sorted(dots) == ["03_augment, seed 0: 99.50%", "03_augment, seed 1: 99.30%"]


def test_differences_have_a_line_for_each_interval_and_name_what_excludes_zero():
    effects = {"a": (0.002, (0.001, 0.003)), "b": (0.0004, (-0.0006, 0.0014))}
    found = {
        f"over {name}": comparison.Difference(name, intervals.Effect(value, bounds, 0.001, 5, 1e-7), (value - 0.0002, value + 0.0002))
        for name, (value, bounds) in effects.items()
    }
    figure = plots.differences(found)
    drawn = [segment[:, 0].tolist() for line in figure.axes[0].collections for segment in line.get_segments()]
    assert drawn == [pytest.approx(each) for each in ([10, 30], [18, 22], [-6, 14], [2, 6])]
    assert figure.caption.startswith("Beyond chance: over a +20.0.") and "+20.0 images" in figure.alt and "+4.0 images" in figure.alt
    assert plots.differences({}).text == ""
    assert plots.differences({"over b": found["over b"]}).caption.startswith("All of it can be chance.")


@pytest.mark.parametrize("name", ["skeleton", "weighted", "mnistlib.separable:recurrent"])
def test_a_net_is_drawn_with_its_map_sizes_and_what_they_see(name):
    net = model_summary.of(models.build(name))
    figure = image_figures.net(net, random_images(1)[0])
    texts = [text.get_text() for text in figure.axes[0].texts]
    for layer in net.layers:
        assert f"{min(layer.receptive_field, 28)} px" in texts
        assert formatting.shape(layer.output[1:]) in texts or layer.output == (10,)
    frames = [patch for patch in figure.axes[0].patches if patch.get_edgecolor()[:3] == pytest.approx(to_rgb(figure_style.ORANGE))]
    sides = [frame.get_width() / (frames[-1].get_width() / 28) for frame in frames]
    assert sides == pytest.approx([min(layer.receptive_field, 28) for layer in net.layers])
    assert formatting.count(net.n_parameters) in figure.caption


def test_the_alt_text_of_curves_states_the_last_epoch_of_the_data():
    runs = [replace(run(seed, n_wrong, 4)) for seed, n_wrong in enumerate((6, 4, 5))]
    runs[0].history.eval_accuracy[2] = 0.9999  # the best epoch is not the last
    words = plots.curves(runs, "test").alt
    assert "4 epochs, 3 seeds" in words and "99.50% (seeds from 99.40% to 99.60%)" in words
    assert formatting.percent(recipe.MIN_ACCURACY) in words and "98.00%" in words
    assert "test mean goes from 0.3000 to 0.0300, running training mean goes from 0.6000 to 0.0600" in words


def test_one_seed_has_no_mean_and_the_split_is_named():
    figure = plots.curves([history(0.991)], "validation")
    assert "1 seed." in figure.alt and "validation ends at 99.10%" in figure.alt and "mean" not in figure.alt
    written = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    assert "validation\n99.10%" in written and "test" not in written + figure.alt


def test_published_curves_are_dotted_and_named():
    figure = plots.curves(RUNS, "test", {"Colab": [0.98, 0.993]})
    assert "Published, Colab" in figure.alt and "99.30%" in figure.alt
    assert [line.get_linestyle() for line in figure.axes[0].lines].count(":") == 1


def test_curves_have_the_same_axes_in_every_step():
    one = plots.curves(RUNS, "test")
    for other in (plots.curves([history(0.91, 15, 0.5, 0.9)], "validation"), plots.curves([history(1.0, 2, 1.0, 0.001)], "test")):
        for mine, its in zip(one.axes, other.axes, strict=True):
            assert (mine.get_xlim(), mine.get_ylim()) == (its.get_xlim(), its.get_ylim())
            assert mine.get_position().bounds == its.get_position().bounds
            assert [tick.get_text() for tick in mine.get_yticklabels()] == [tick.get_text() for tick in its.get_yticklabels()]


def test_curves_keep_within_the_axes_and_mark_what_lies_outside():
    upper, lower = plots.curves([history(1.0, 5, train=0.5, loss=0.0001)], "test").axes
    for axes in (upper, lower):
        low, high = axes.get_ylim()
        for line in axes.lines:
            heights = np.asarray(line.get_ydata(), float)
            assert heights.size == 0 or (heights.min() >= low - 1e-9 and heights.max() <= high + 1e-9)
    marks = {(line.get_color(), line.get_marker()): len(line.get_xdata()) for line in upper.lines if line.get_marker() in ("^", "v")}
    # Every training accuracy is below the axis, the first two of the test images' too, their last one above it.
    orange, blue = figure_style.ORANGE, figure_style.BLUE
    assert marks == {(orange, "v"): 5, (orange, "^"): 0, (blue, "v"): 2, (blue, "^"): 1}


def test_labels_at_the_ends_of_curves_do_not_overlap():
    figure = plots.curves([history(0.995, train=0.995)], "test")
    figure.png()
    for axes in figure.axes:
        ends = [text.get_window_extent() for text in axes.texts if "\n" in text.get_text()]
        assert len(ends) == 2 and not ends[0].overlaps(ends[1])


def test_curves_of_seeds_that_have_not_come_as_far_end_where_all_have_been():
    late = history(0.995, 4)
    for values in (late.eval_accuracy, late.train_accuracy, late.eval_loss, late.train_loss):
        values[0] = math.nan  # resumed after its first epoch
    words = plots.curves([late, history(0.99, 3)], "test").alt
    assert formatting.percent((late.eval_accuracy[2] + 0.99) / 2) in words and "nan" not in words


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverged_run_is_drawn(value):
    diverged = History(*[[value] * 3 for _ in range(6)])
    for runs in ([diverged], [history(0.99), diverged]):
        figure = plots.curves(runs, "test")
        assert figure.png() and "nan" not in figure.alt


def test_the_target_line_stands_at_the_target():
    upper = plots.curves(RUNS, "test").axes[0]
    flat = [line for line in upper.lines if line.get_linestyle() == "--" and set(line.get_xdata()) == {0, 1}]
    assert [1 - 10 ** -line.get_ydata()[0] for line in flat] == pytest.approx([recipe.MIN_ACCURACY])


def test_a_schedule_is_drawn_with_its_peak():
    made = replace(steps.SKELETON, epochs=10, optimizer=recipe.Optimizer(lr=0.25), schedule=recipe.Schedule(0.3, "linear"))
    figure = plots.schedule(made, steps=50)
    assert "0.25, at epoch 3," in figure.alt and "0.00036" in figure.alt
    drawn = figure.axes[0].lines[0]
    assert drawn.get_xdata() == pytest.approx((np.arange(500) + 0.5) / 50)
    assert drawn.get_ydata() == pytest.approx([0.25 * made.schedule.lr_factor(step, 500) for step in range(500)])
    constant = plots.schedule(replace(made, schedule=None))
    assert set(constant.axes[0].lines[0].get_ydata()) == {0.25} and constant.png()


def test_accuracies_place_every_seed_on_one_scale():
    found = [result("00_skeleton", (9, 7)), result("03_augment", (5, 5, 3))]
    figure = plots.accuracies(found)
    axes = figure.axes[0]
    dots = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines if line.get_marker() == "o"]
    assert [x for x, _ in dots] == pytest.approx([0.991, 0.993, 0.995, 0.995, 0.997])
    assert len({*dots}) == 5, "two seeds at one accuracy hide each other"
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"] == [recipe.MIN_ACCURACY]
    bands = [collection.get_segments()[0][:, 0] for collection in axes.collections[::2]]
    assert bands == [pytest.approx(one.summary.interval) for one in found]
    assert "03_augment 99.57% (seed sd 0.12)" in figure.alt and "row per run" in plots.accuracies(found, "run").alt


def test_samples_show_each_group_of_writers():
    figure = image_figures.samples(five())
    assert "students, 3 digits" in figure.alt and "census employees, 2 digits" in figure.alt
    drawn = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    assert [np.flatnonzero([np.array_equal(one, image) for image in random_images(5)])[0] for one in drawn] == [0, 2, 4, 1, 3]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_training_images_can_be_drawn(n):
    few = images(n)
    figure = image_figures.samples(few)
    assert f"students, {formatting.counted(n, 'digit')}" in figure.alt and "employees, 0 digits" in figure.alt and figure.png()
    digits = few.images[:, None].float() / 255
    assert len(image_figures.augmented(digits, digits).axes[0].images) == 2 * n


def test_originals_and_augmented_images_stand_below_each_other():
    before, after = random_images(12), random_images(10).float()[:, None] / 255
    figure = image_figures.augmented(before, after, after)
    shown = figure.axes[0].images
    assert len(shown) == 30 and shown[3].get_extent()[:2] == shown[13].get_extent()[:2] == shown[23].get_extent()[:2]
    assert np.array_equal(shown[13].get_array(), after[3, 0]) and "2 random draws" in figure.alt


def test_the_gallery_shows_label_prediction_votes_and_writer_and_frames_known_wrong_labels():
    figure = image_figures.misclassified(wrong(), random_images(5))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:8] == ["9 → 4", "3 of 3", "student", "#947", "3 → 8", "2 of 3", "student", "#10"]
    assert sum(patch.get_linewidth() > 2 for patch in figure.axes[0].patches) == 1 and "framed" in texts[-1]
    assert np.array_equal(figure.axes[0].images[0].get_array(), random_images(5)[4])
    assert "3 images" in figure.alt and "1 of them" in figure.alt and "disputed: 1." in figure.alt
    assert "No image" in image_figures.misclassified([], random_images(5)).alt


def test_confusion_counts_errors_and_leaves_the_diagonal_blank():
    matrix = np.zeros((10, 10))
    matrix[4, 9], matrix[7, 2], matrix[3, 3] = 2.4, 0.2, 990
    figure = image_figures.confusion(matrix)
    assert {text.get_position(): text.get_text() for text in figure.axes[0].texts} == {(9, 4): "2.4", (2, 7): "0.2"}
    assert "2.6 errors" in figure.alt and f"{formatting.confusion(4, 9)} (2.4)" in figure.alt
    assert "0.0 errors" in image_figures.confusion(np.diag(matrix[3])).alt


def progress(seed: int, epoch: int, epochs: int = 3) -> Progress:
    return Progress(seed, epoch, epochs, 0.2, 0.9, 0.1, 0.5 + epoch / 10, 0.05, 1.0, float(epochs - epoch))


def test_live_curves_sort_epochs_by_seed():
    first, second = live_curves.by_seed([progress(1, 2), progress(0, 1), progress(1, 3), progress(0, 2)])
    assert first.eval_accuracy == [0.6, 0.7] and math.isnan(second.eval_accuracy[0]) and second.eval_accuracy[1:] == [0.7, 0.8]


def test_live_curves_replace_one_output_for_a_reader_and_show_none_to_papermill(monkeypatch):
    shown = []

    class Handle:
        update = shown.append

    monkeypatch.setattr(live_curves, "display", lambda figure, display_id: shown.append(figure) or Handle)
    monkeypatch.setattr(live_curves, "_REST", 0)
    for allowed, n in ((False, 0), (True, 2)):
        shell = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=allowed))
        monkeypatch.setattr(live_curves, "get_ipython", lambda shell=shell: shell)
        live = live_curves.LiveCurves("test")
        for epoch in (2, 3):
            live([progress(0, each) for each in range(2, epoch + 1)])
        assert len(shown) == n
    assert "80.00%" in shown[-1].alt
