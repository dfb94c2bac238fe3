"""Images as the data holds them, every pixel a square, and the table of which digit was taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mnistlib import formatting
from mnistlib.report import figure_style
from mnistlib.stats.misclassified import Mistake, group_name

SIDE = 28  # pixels of an image
DIGITS = 10
MANY = 20  # images of a gallery, at most
_ROW = 44  # the pixels of an image that a row of samples is high, its heading included
_COLUMNS = 5  # of a gallery of mistakes


def samples(part: Any) -> Figure:
    """Draw the first image of each digit in a `data.Part`, one row for each group of writers, or two rows where no groups are known."""
    labels = np.asarray(part.labels)
    if part.groups is None:
        rows = {"the first of each digit": np.ones(len(labels), bool), "the last of each digit": np.ones(len(labels), bool)}
    else:
        names = np.array([group_name(group) for group in part.groups])
        rows = {f"written by {name}": names == name for name in ("students", "census employees")}
    chosen = {name: _one_of_each(labels, mask, last=name.startswith("the last")) for name, mask in rows.items()}
    words = "; ".join(f"{name}, {formatting.count(len(found))} digits" for name, found in chosen.items())
    images = np.asarray(part.images)
    return _rows({name: [images[index] for index in found] for name, found in chosen.items()}, f"Sample images: {words}.")


def _one_of_each(labels: np.ndarray, mask: np.ndarray, last: bool) -> list[int]:
    """Return the index of the first, or the last, image of each digit among those in `mask`; digits that are missing are left out."""
    found = [np.flatnonzero(mask & (labels == digit)) for digit in range(DIGITS)]
    return [int(places[-1 if last else 0]) for places in found if len(places)]


def before_after(images: Any, *warped: Any) -> Figure:
    """Draw up to ten images, and below them the same after each of some random warps: uint8 or floats, with or without a channel."""
    rows = {"as they are": _plain(images)} | {f"warped, draw {formatting.count(k)}": _plain(drawn) for k, drawn in enumerate(warped, 1)}
    if len(warped) == 1:
        rows["warped at random"] = rows.pop("warped, draw 1")
    n_images = min(len(row) for row in rows.values())
    draws = "once" if len(warped) == 1 else f"by {formatting.count(len(warped))} draws"
    return _rows(rows, f"{formatting.count(n_images)} images as they are, and the same warped at random {draws}.")


def _plain(images: Any) -> np.ndarray:
    """Return at most ten images as an array [n, 28, 28]."""
    return np.asarray(images)[:DIGITS].reshape(-1, SIDE, SIDE)


def _rows(rows: dict[str, Any], alt: str) -> Figure:
    """Draw rows of ten images under their headings."""
    made, area = figure_style.sheet(len(rows) * _ROW + 2, scale=4)
    for k, (name, images) in enumerate(rows.items()):
        area.text(2, k * _ROW + 7, name, fontsize=figure_style.SMALL, color=figure_style.FADED, va="center")
        top = max(float(np.max(image)) for image in images)
        for column, image in enumerate(images):
            _digit(area, image, 2 + column * 32, k * _ROW + 14, top)
    return figure_style.describe(made, alt)


def _digit(area: Axes, image: Any, left: int, upper: int, top: float = 255, frame: str = figure_style.RULE, width: float = 0.8) -> None:
    """Draw one image as ink on paper, framed; `top` is the value of full ink."""
    extent = (left, left + SIDE, upper + SIDE, upper)
    area.imshow(np.asarray(image), cmap="gray_r", vmin=0, vmax=top, extent=extent, interpolation="nearest", aspect="auto")
    area.add_patch(Rectangle((left, upper), SIDE, SIDE, fill=False, edgecolor=frame, linewidth=width))


def mistakes(found: Sequence[Mistake], images: Any) -> Figure:
    """Draw the first of the most mistaken images, with label and reading, votes and writer; known wrong labels are framed.

    `images` are those judged, uint8 [n, 28, 28], which the mistakes' `index` counts.
    """
    shown = list(found)[:MANY]
    n_rows = max(1, -(-len(shown) // _COLUMNS))
    flagged = sum(mistake.known is not None for mistake in shown)
    made, area = figure_style.sheet(n_rows * 54 + (20 if flagged else 12), scale=6)
    for k, mistake in enumerate(shown):
        left, upper = 3 + k % _COLUMNS * 43, 3 + k // _COLUMNS * 54
        frame = (figure_style.ORANGE, 3.5) if mistake.known else (figure_style.RULE, 0.8)
        _digit(area, images[mistake.index], left, upper, 255, *frame)
        reading = f"{mistake.label} → {mistake.prediction}"
        lines = [(reading, "bold", figure_style.INK), (formatting.of(mistake.votes, mistake.n_seeds), "normal", figure_style.INK)]
        lines += [(_WRITERS[mistake.group], "normal", figure_style.FADED)] if mistake.group else []
        for line, (text, weight, colour) in enumerate(lines):
            area.text(left, upper + SIDE + 5 + 6 * line, text, fontsize=figure_style.SMALL, fontweight=weight, color=colour, va="center")
    if shown:
        words = "label → commonest misreading, seeds that misread it" + (", writer" if shown[0].group else "")
        area.text(3, n_rows * 54 + 4, words, fontsize=figure_style.SMALL, color=figure_style.FADED, va="center")
    if flagged:
        words = "framed: a label known to be wrong, by human vote"
        area.text(3, n_rows * 54 + 12, words, fontsize=figure_style.SMALL, color=figure_style.ALARM, va="center")
    if not shown:
        area.text(3, 24, "No image was misread.", fontsize=figure_style.NORMAL)
    return figure_style.describe(made, _mistakes_alt(shown, flagged))


_WRITERS = {"students": "student", "census employees": "employee"}  # of the census; a whole group's name is wider than a digit


def _mistakes_alt(shown: Sequence[Mistake], flagged: int) -> str:
    """Return what a gallery shows, with its most common kinds of error."""
    if not shown:
        return "No image was misread."
    kinds = Counter((mistake.label, mistake.prediction) for mistake in shown).most_common(3)
    words = ", ".join(f"{formatting.confusion(*kind)} ({formatting.count(n)})" for kind, n in kinds)
    everyone = sum(mistake.votes == mistake.n_seeds for mistake in shown)
    return (
        f"The {formatting.count(len(shown))} most mistaken images, {formatting.count(everyone)} of them misread by every seed; most often {words}. "
        f"Framed as known wrong labels: {formatting.count(flagged)}."
    )


def confusion(matrix: np.ndarray) -> Figure:
    """Draw how many images of each digit (rows) are read as another (columns), averaged over seeds; right answers are left blank."""
    errors = np.array(matrix, float)
    np.fill_diagonal(errors, 0)
    made = figure_style.figure(570)
    axes = figure_style.panel(made, 40, 66, 590, 494)
    shades = np.log1p(errors)  # so that the rare kinds show beside the most common
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=max(1.8 * shades.max(), 1e-9), aspect="auto")
    for label, digit in np.argwhere(errors > 0):
        axes.text(digit, label, formatting.mean_count(errors[label, digit]), ha="center", va="center", fontsize=figure_style.SMALL)
    for digit in range(DIGITS):
        axes.add_patch(Rectangle((digit - 0.5, digit - 0.5), 1, 1, color=figure_style.RULE, linewidth=0))
    axes.set_xticks(range(DIGITS))
    axes.set_yticks(range(DIGITS))
    axes.tick_params(length=0, labelsize=figure_style.NORMAL, labelcolor=figure_style.INK, labeltop=True, labelbottom=False)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_title("Digit (row) read as (column), images a seed", loc="left", fontsize=figure_style.NORMAL, fontweight="bold", pad=10)
    return figure_style.describe(made, _confusion_alt(errors))


def _confusion_alt(errors: np.ndarray) -> str:
    """Return the number of errors a seed and the most common kinds."""
    order = sorted(np.argwhere(errors > 0).tolist(), key=lambda kind: -errors[kind[0], kind[1]])[:3]
    words = ", ".join(f"{formatting.confusion(label, digit)} ({formatting.mean_count(errors[label, digit])})" for label, digit in order)
    total = f"Confusion table: {formatting.mean_count(errors.sum())} errors a seed on average"
    return f"{total}; most often {words}." if words else f"{total}."
