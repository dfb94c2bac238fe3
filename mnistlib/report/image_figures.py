"""Figures of images, every pixel a square, and of the confusion matrix."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from mnistlib import formatting
from mnistlib.report import figure_style
from mnistlib.report.figure_style import BLUE, FADED, INK, NORMAL, ORANGE, PAPER, RULE, SMALL, ReportFigure
from mnistlib.report.model_summary import ModelSummary
from mnistlib.stats.misclassified import DIGITS, GROUPS, MANY, Misclassified, group_names

SIDE = 28  # pixels of an image
_ROW = 44  # the pixels of an image that a row of samples is high, its heading included
_SCALE = (0, 1, 2, 5, 10, 20, 50, 100, 200)  # ticks of the confusion matrix, images
_COLUMNS = 5  # of a gallery
_WRITERS = {"students": "student", "census employees": "employee"}  # a whole group's name is wider than a digit


def samples(image_set: Any) -> ReportFigure:
    """Draw the first image of each digit, in one row for each group of writers."""
    labels, images = np.asarray(image_set.labels), np.asarray(image_set.images)
    names = group_names(image_set.groups)
    rows = {}
    for name in GROUPS:
        found = [np.flatnonzero((names == name) & (labels == digit)) for digit in range(DIGITS)]
        rows[f"written by {name}"] = [images[places[0]] for places in found if len(places)]
    words = "; ".join(f"{name}, {formatting.counted(len(row), 'digit')}" for name, row in rows.items())
    return _rows(rows, f"Sample images: {words}.", "The first image of each digit by a student, and by a census employee.")


def augmented(images: Any, *draws: Any) -> ReportFigure:
    """Draw up to ten images, and below them the same after each of some random augmentations, with or without a channel."""
    names = ["original", *(f"augmented, draw {formatting.count(k)}" for k in range(1, len(draws) + 1))]
    rows = {name: np.asarray(drawn)[:DIGITS].reshape(-1, SIDE, SIDE) for name, drawn in zip(names, (images, *draws), strict=True)}
    shown, times = formatting.counted(len(rows["original"]), "image"), formatting.counted(len(draws), "random draw")
    caption = f"{shown} as they are, and as the net sees them in training: warped anew in every epoch."
    return _rows(rows, f"{shown}, and the same after {times} of the augmentation.", caption)


def _rows(rows: dict[str, Any], alt: str, caption: str) -> ReportFigure:
    figure, area = figure_style.sheet(len(rows) * _ROW + 2, scale=4)
    figure.alt, figure.caption = alt, caption
    for k, (name, images) in enumerate(rows.items()):
        write(area, 2, k * _ROW + 7, name, FADED)
        top = max((float(np.max(image)) for image in images), default=1)
        for column, image in enumerate(images):
            draw_image(area, image, 2 + column * 32, k * _ROW + 14, top)
    return figure


def net(summary: ModelSummary, image: Any) -> ReportFigure:
    """Draw what each layer of a net passes on, maps as large as they are, and above it what part of an image one value of them sees."""
    layers, step = summary.layers, figure_style.WIDTH / (len(summary.layers) + 1)
    size = min(step - 18, 92)
    base = 48 + 2 * size  # where the maps stand
    figure = figure_style.figure(base + 44, vector=True)
    area = figure_style.panel(figure, 0, 0, figure_style.WIDTH, base + 44)
    area.axis("off")
    for place, layer in enumerate((None, *layers)):
        left, field = place * step + 9, SIDE if layer is None else min(layer.receptive_field, SIDE)
        area.imshow(np.asarray(image), cmap="gray_r", extent=(left, left + size, 24 + size, 24), aspect="auto", interpolation="nearest")
        edge, seen, look = size * (SIDE - field) / SIDE / 2, size * field / SIDE, (RULE, 0.8) if layer is None else (ORANGE, 2)
        area.add_patch(Rectangle((left + edge, 24 + edge), seen, seen, fill=False, edgecolor=look[0], linewidth=look[1]))
        channels, *sides = (1, SIDE, SIDE) if layer is None else layer.output
        side = size * (sides[0] / SIDE if sides else 0.06)
        for depth in range(min(channels, 40) if sides else 0, 0, -1):  # one behind the other
            shift = 0.7 * (depth - 1)
            corner = (left + shift, base - side - shift)
            area.add_patch(Rectangle(corner, side, side, facecolor=PAPER, edgecolor=BLUE, linewidth=0.7))
        if not sides:
            area.add_patch(Rectangle((left, base - size), side, size, facecolor=BLUE, edgecolor=BLUE, alpha=0.5))
        write(area, left, 12, "image" if layer is None else f"{formatting.count(field)} px", INK if layer is None else ORANGE)
        write(area, left, base + 14, formatting.counted(channels, "map") if sides else formatting.count(channels), INK)
        write(area, left, base + 32, formatting.shape(sides) if sides else "logits", FADED)
    area.set(xlim=(0, figure_style.WIDTH), ylim=(base + 44, 0))
    kinds = "; ".join(f"{layer.kind}: {formatting.shape(layer.output)}" for layer in layers)
    figure.caption = (
        f"With {formatting.count(summary.n_parameters)} parameters, a value of the last maps sees "
        f"{formatting.count(min(summary.receptive_field, SIDE))} of {SIDE} pixels along a side. Below, what each layer passes on, to scale."
    )
    figure.alt = f"The layers of the net. {kinds}."
    return figure


def draw_image(
    area: Axes,
    image: Any,
    left: int,
    upper: int,
    top: float = 255,
    frame: str = RULE,
    width: float = 0.8,
    low: float = 0,
    colours: str = "gray_r",
) -> None:
    """Draw an image as wide as a digit with its upper left corner at a place of a sheet; `low` and `top` are the ends of its colours."""
    extent = (left, left + SIDE, upper + SIDE, upper)
    area.imshow(np.asarray(image), cmap=colours, vmin=low, vmax=top, extent=extent, interpolation="nearest", aspect="auto")
    area.add_patch(Rectangle((left, upper), SIDE, SIDE, fill=False, edgecolor=frame, linewidth=width))


def misclassified(found: Sequence[Misclassified], images: Any) -> ReportFigure:
    """Draw the images that most seeds misclassify, with label, prediction, seeds and writer; disputed labels are framed.

    `images` are those evaluated, uint8 [n, 28, 28], which the `index` of each counts.
    """
    shown = list(found)[:MANY]
    n_rows = max(1, -(-len(shown) // _COLUMNS))
    flagged = sum(one.label_error is not None for one in shown)
    figure, area = figure_style.sheet(n_rows * 60 + (20 if flagged else 12), scale=6)
    figure.alt = figure.caption = _misclassified_alt(shown, flagged)
    for k, one in enumerate(shown):
        left, upper = 3 + k % _COLUMNS * 43, 3 + k // _COLUMNS * 60
        frame = (ORANGE, 3.5) if one.label_error else (RULE, 0.8)
        draw_image(area, images[one.index], left, upper, 255, *frame)
        sure = "" if one.confidence is None else f", {formatting.percent(one.confidence, 0)}"
        texts = [f"{one.label} → {one.prediction}{sure}", formatting.of(one.votes, one.n_seeds), _WRITERS[one.group], f"#{one.id}"]
        for line, (text, colour) in enumerate(zip(texts, (INK, INK, FADED, FADED), strict=True)):
            write(area, left, upper + SIDE + 5 + 6 * line, text, colour, "normal" if line else "bold")
    if shown:
        write(area, 3, n_rows * 60 + 4, "label → prediction, confidence; seeds that misclassify it; writer; image", FADED)
    if flagged:
        write(area, 3, n_rows * 60 + 12, "framed: the label is disputed, by human vote", ORANGE)
    if not shown:
        write(area, 3, 24, figure.alt, INK)
    return figure


def write(area: Axes, x: float, y: float, text: str, colour: str, weight: str = "normal") -> None:
    """Write a text on a sheet, its middle on the left at a place."""
    area.text(x, y, text, fontsize=SMALL, fontweight=weight, color=colour, va="center")


def _misclassified_alt(shown: Sequence[Misclassified], flagged: int) -> str:
    if not shown:
        return "No image was misclassified."
    words = _most_frequent(Counter((one.label, one.prediction) for one in shown), formatting.count)
    everyone = formatting.count(sum(one.votes == one.n_seeds for one in shown))
    opening = f"The {formatting.counted(len(shown), 'image')} that most seeds misclassify, {everyone} of them misclassified by every seed"
    return f"{opening}; most frequent: {words}. Framed because their label is disputed: {formatting.count(flagged)}."


def confusion(matrix: np.ndarray) -> ReportFigure:
    """Draw the confusion matrix as images per seed, true digits in rows; the diagonal is left blank."""
    errors = np.array(matrix, float)
    np.fill_diagonal(errors, 0)
    figure = figure_style.figure(600)
    figure.alt = figure.caption = _confusion_alt(errors)
    axes, scale = figure_style.panel(figure, 40, 66, 520, 494), figure_style.panel(figure, 576, 66, 14, 494)
    shades, top = np.log1p(errors), max(1.8 * np.log1p(errors.max()), 1e-9)  # so that the rare kinds show beside the most frequent
    shown = axes.imshow(shades, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    figure.colorbar(shown, cax=scale, ticks=np.log1p(_SCALE), format=FuncFormatter(lambda shade, _: f"{np.expm1(shade):.3g}"))
    scale.set_ylim(0, np.log1p(next((tick for tick in _SCALE[1:] if tick >= errors.max()), errors.max())))
    scale.set_title("images", fontsize=SMALL, color=FADED, pad=10)
    for label, digit in np.argwhere(errors > 0):
        axes.text(digit, label, formatting.mean_count(errors[label, digit]), ha="center", va="center", fontsize=SMALL)
    for digit in range(DIGITS):
        axes.add_patch(Rectangle((digit - 0.5, digit - 0.5), 1, 1, color=RULE, linewidth=0))
    axes.set(xticks=range(DIGITS), yticks=range(DIGITS))
    axes.tick_params(length=0, labelsize=NORMAL, labelcolor=INK, labeltop=True, labelbottom=False)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    figure_style.title(axes, "Images per seed: true digit (row), predicted digit (column)")
    return figure


def _confusion_alt(errors: np.ndarray) -> str:
    kinds = Counter({(label, digit): errors[label, digit] for label, digit in np.argwhere(errors > 0)})
    words = _most_frequent(kinds, formatting.mean_count)
    total = f"Confusion matrix: {formatting.mean_count(errors.sum())} errors per seed on average"
    return f"{total}; most frequent: {words}." if words else f"{total}."


def _most_frequent(kinds: Counter[tuple[int, int]], text: Callable[[Any], str]) -> str:
    return ", ".join(f"{formatting.confusion(*kind)} ({text(n)})" for kind, n in kinds.most_common(3))
