"""Figures of images, every pixel a square, and of the confusion matrix."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mnistlib import formatting
from mnistlib.report import figure_style
from mnistlib.report.figure_style import FADED, INK, NORMAL, ORANGE, RULE, SMALL, ReportFigure
from mnistlib.stats.misclassified import GROUPS, Misclassified, group_names

SIDE = 28  # pixels of an image
DIGITS = 10
MANY = 20  # images of a gallery, at most
_ROW = 44  # the pixels of an image that a row of samples is high, its heading included
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
    return _rows(rows, f"Sample images: {words}.")


def augmented(images: Any, *draws: Any) -> ReportFigure:
    """Draw up to ten images, and below them the same after each of some random augmentations, with or without a channel."""
    names = ["original", *(f"augmented, draw {formatting.count(k)}" for k in range(1, len(draws) + 1))]
    rows = {name: np.asarray(drawn)[:DIGITS].reshape(-1, SIDE, SIDE) for name, drawn in zip(names, (images, *draws), strict=True)}
    shown, times = formatting.counted(len(rows["original"]), "image"), formatting.counted(len(draws), "random draw")
    return _rows(rows, f"{shown}, and the same after {times} of the augmentation.")


def _rows(rows: dict[str, Any], alt: str) -> ReportFigure:
    figure, area = figure_style.sheet(len(rows) * _ROW + 2, scale=4)
    figure.alt = alt
    for k, (name, images) in enumerate(rows.items()):
        write(area, 2, k * _ROW + 7, name, FADED)
        top = max((float(np.max(image)) for image in images), default=1)
        for column, image in enumerate(images):
            draw_image(area, image, 2 + column * 32, k * _ROW + 14, top)
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
    """Draw the images that most seeds misclassify, with label, prediction, seeds and writer; known wrong labels are framed.

    `images` are those evaluated, uint8 [n, 28, 28], which the `index` of each counts.
    """
    shown = list(found)[:MANY]
    n_rows = max(1, -(-len(shown) // _COLUMNS))
    flagged = sum(one.label_error is not None for one in shown)
    figure, area = figure_style.sheet(n_rows * 54 + (20 if flagged else 12), scale=6)
    figure.alt = _misclassified_alt(shown, flagged)
    for k, one in enumerate(shown):
        left, upper = 3 + k % _COLUMNS * 43, 3 + k // _COLUMNS * 54
        frame = (ORANGE, 3.5) if one.label_error else (RULE, 0.8)
        draw_image(area, images[one.index], left, upper, 255, *frame)
        votes = formatting.of(one.votes, one.n_seeds)
        for line, (text, colour) in enumerate([(f"{one.label} → {one.prediction}", INK), (votes, INK), (_WRITERS[one.group], FADED)]):
            write(area, left, upper + SIDE + 5 + 6 * line, text, colour, "normal" if line else "bold")
    if shown:
        write(area, 3, n_rows * 54 + 4, "label → most frequent prediction, seeds that misclassify it, writer", FADED)
    if flagged:
        write(area, 3, n_rows * 54 + 12, "framed: a label known to be wrong, by human vote", ORANGE)
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
    return f"{opening}; most frequent: {words}. Framed as known wrong labels: {formatting.count(flagged)}."


def confusion(matrix: np.ndarray) -> ReportFigure:
    """Draw the confusion matrix as images per seed, true digits in rows; the diagonal is left blank."""
    errors = np.array(matrix, float)
    np.fill_diagonal(errors, 0)
    figure = figure_style.figure(570)
    figure.alt = _confusion_alt(errors)
    axes = figure_style.panel(figure, 40, 66, 590, 494)
    shades = np.log1p(errors)  # so that the rare kinds show beside the most frequent
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=max(1.8 * shades.max(), 1e-9), aspect="auto")
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
