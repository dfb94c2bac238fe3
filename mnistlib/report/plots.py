"""Values in, figures with alt text out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from mnistlib import formatting
from mnistlib.published.schedulers import Moment
from mnistlib.recipe import MAX_EPOCHS, MIN_ACCURACY, Recipe
from mnistlib.report import figure_style, image_figures

# One place to look for every figure, and for what a caller may want of one.
samples, before_after, mistakes, confusion = (
    image_figures.samples,
    image_figures.before_after,
    image_figures.mistakes,
    image_figures.confusion,
)
alt, png, stamp = figure_style.alt, figure_style.png, figure_style.stamp

ACCURACY_LIMITS = 0.95, 0.999  # of the accuracy axis, in every step; what lies outside is drawn at the edge, with an arrowhead
LOSS_LIMITS = 0.01, 1.0  # of the loss axis
ACCURACY_TICKS = 0.95, 0.97, 0.98, 0.99, 0.994, 0.996, 0.998, 0.999
LOSS_TICKS = 0.01, 0.03, 0.1, 0.3, 1.0
_HALO = [withStroke(linewidth=3, foreground=figure_style.PAPER)]  # keeps words legible across a line


class About(Protocol):
    """What a figure or a table has to know of the data: `data.Mnist` and `results.Result` both say it."""

    dataset: str  # "mnist" or "digits"
    split: str  # "test" or "validation"


def history(run: Any, name: str) -> list[float]:
    """Return one figure per epoch of a run: a `state.Trial`, or a `schema.Run` of a result."""
    return list(getattr(getattr(run, "history", run), name))


def table(runs: Sequence[Any], name: str) -> np.ndarray:
    """Return one figure per seed and epoch, [n_seeds, n_epochs]; epochs that a seed has not reached are NaN."""
    lists = [history(run, name) for run in runs]
    longest = max(map(len, lists))
    return np.array([[*values, *[math.nan] * (longest - len(values))] for values in lists], float)


def curves(runs: Sequence[Any], about: About, claimed: Mapping[str, Sequence[float]] = MappingProxyType({})) -> Figure:
    """Draw accuracy and loss per epoch, training (running) and judged, every seed thin and the mean strong.

    The accuracy axis is even in the logarithm of the error, so that the first epochs and the last tenths both show; all limits are
    the same in every step. `claimed` are judged accuracies per epoch that others published, by a name for each.
    """
    made = figure_style.figure(640)
    upper, lower = figure_style.panel(made, 70, 38, 470, 340), figure_style.panel(made, 70, 444, 470, 140)
    split, n_epochs = about.split, max(MAX_EPOCHS, table(runs, "test_loss").shape[1])
    for axes, kind, ticks in ((upper, "accuracy", ACCURACY_TICKS), (lower, "loss", LOSS_TICKS)):
        axes.set(xlim=(0.5, n_epochs + 0.5), ylim=[_height(kind, limit) for limit in _limits(kind)])
        axes.set_yticks([_height(kind, tick) for tick in ticks], [_tick(kind, tick) for tick in ticks])
        axes.set_xticks(range(1, n_epochs + 1, 2 if n_epochs <= MAX_EPOCHS else 10))
        for name, values in claimed.items() if kind == "accuracy" else ():
            axes.plot(range(1, len(values) + 1), _height(kind, np.array(values)), color=figure_style.INK, linewidth=1.2, linestyle=":")
            label = axes.annotate(f"published, {name}", (1, _height(kind, values[0])), (0, -13), textcoords="offset points")
            label.set(fontsize=figure_style.SMALL, color=figure_style.INK, path_effects=_HALO)
        texts = [_lines(axes, table(runs, f"{part}_{kind}"), kind, *look) for part, look in _looks(split).items()]
        _apart(axes, [text for text in texts if text is not None])
        axes.set_title(f"{kind.capitalize()} per epoch", loc="left", fontsize=figure_style.NORMAL, fontweight="bold", pad=10)
    target = _height("accuracy", MIN_ACCURACY)
    upper.axhline(target, color=figure_style.GREEN, linewidth=1.4, linestyle=(0, (5, 3)))
    words = upper.annotate(
        f"target {formatting.percent(MIN_ACCURACY)}", (0.7, target), (0, 5), textcoords="offset points", color=figure_style.GREEN
    )
    words.set(fontsize=figure_style.SMALL, path_effects=_HALO)
    lower.set_xlabel("epoch")
    seeds = "one seed" if len(runs) == 1 else f"{formatting.count(len(runs))} seeds, thin, and their mean"
    upper.set_title(seeds, loc="right", fontsize=figure_style.SMALL, color=figure_style.FADED, pad=10)
    ends = [f" Published, {name}, dotted: ends at {formatting.percent(values[-1])}." for name, values in claimed.items()]
    return figure_style.describe(made, _curves_alt(runs, split) + "".join(ends))


def _looks(split: str) -> dict[str, tuple[str, str, str]]:
    """Return name, colour and line style of the training and the judged images' curves."""
    return {"train": ("training", figure_style.ORANGE, "--"), "test": (split, figure_style.BLUE, "-")}


def _limits(kind: str) -> tuple[float, float]:
    """Return the lowest and the highest value that an axis shows."""
    return ACCURACY_LIMITS if kind == "accuracy" else LOSS_LIMITS


def _height(kind: str, value: Any) -> Any:
    """Return where a value lies on its axis: losses by their logarithm, accuracies by that of their error, both cut off at the edge."""
    value = np.clip(value, *_limits(kind))
    return -np.log10(1 - value) if kind == "accuracy" else np.log10(value)


def _tick(kind: str, value: float) -> str:
    """Return a tick's label."""
    return formatting.number(value) if kind == "loss" else formatting.percent(value, 0 if value <= 0.99 else 1)


def _lines(axes: Axes, values: np.ndarray, kind: str, name: str, colour: str, style: str) -> Any:
    """Draw seeds and mean of one quantity, and return the label at the mean's end, or None where there is no mean yet."""
    epochs, mean, low, high = np.arange(1, values.shape[1] + 1), values.mean(0), *_limits(kind)
    for seed in values:
        axes.plot(epochs, _height(kind, seed), color=colour, linewidth=0.8, alpha=0.45)
    axes.plot(epochs, _height(kind, mean), color=colour, linewidth=2.4, linestyle=style, solid_capstyle="round")
    for outside, edge, marker in ((mean < low, low, "v"), (mean > high, high, "^")):
        heights = np.full(outside.sum(), _height(kind, edge))
        axes.plot(epochs[outside], heights, color=colour, marker=marker, linestyle="", markersize=7, clip_on=False)
    reached = np.flatnonzero(np.isfinite(mean))
    if not len(reached):
        return None
    last = reached[-1]
    value = formatting.percent(mean[last]) if kind == "accuracy" else formatting.loss(mean[last])
    place = (epochs[last], _height(kind, mean[last]))
    label = axes.annotate(f"{name}\n{value}", place, (9, 0), textcoords="offset points", color=colour, va="center")
    label.set(fontsize=figure_style.SMALL, path_effects=_HALO)
    return label


def _apart(axes: Axes, labels: list[Any]) -> None:
    """Move the labels of up to two lines of text up or down, so that they neither overlap nor leave the axes."""
    apart, points = 34, axes.get_window_extent().height / axes.figure.dpi * 72  # a label is so high, and the axes
    bottom, top = axes.get_ylim()
    at = [(label.xy[1] - bottom) / (top - bottom) * points for label in labels]
    low, high = apart / 2 - 8, points - apart / 2 + 8
    moved = [min(max(height, low), high) for height in at]
    if len(moved) == 2 and abs(moved[0] - moved[1]) < apart:
        middle = min(max(sum(moved) / 2, low + apart / 2), high - apart / 2)
        sign = 1 if moved[0] >= moved[1] else -1
        moved = [middle + sign * apart / 2, middle - sign * apart / 2]
    for label, old, new in zip(labels, at, moved, strict=True):
        label.set_position((9, new - old))


def _curves_alt(runs: Sequence[Any], split: str) -> str:
    """Return what the curves show, with the figures at the last epoch that all seeds have reached."""
    n, judged = len(runs), table(runs, "test_accuracy")
    opening = (
        f"Accuracy and loss per epoch, {formatting.count(judged.shape[1])} epochs, {formatting.count(n)} {'seed' if n == 1 else 'seeds'}."
    )
    reached = np.flatnonzero(np.isfinite(judged.mean(0)))
    if not len(reached):
        return opening
    first, last, mean = reached[0], reached[-1], "mean " if n > 1 else ""
    final, running = judged[:, last], formatting.percent(table(runs, "train_accuracy")[:, last].mean())
    spread = f" (seeds from {formatting.percent(final.min())} to {formatting.percent(final.max())})" if n > 1 else ""
    accuracy = f"Accuracy: {split} {mean}ends at {formatting.percent(final.mean())}{spread}, running training {mean}at {running};"
    target = f"the target line is at {formatting.percent(MIN_ACCURACY)}."
    losses = {split: table(runs, "test_loss").mean(0), "running training": table(runs, "train_loss").mean(0)}
    falls = [f"{name} {mean}goes from {formatting.loss(loss[first])} to {formatting.loss(loss[last])}" for name, loss in losses.items()]
    return f"{opening} {accuracy} {target} Loss: {', '.join(falls)}."


def schedule(recipe: Recipe, steps: int = 100) -> Figure:
    """Draw a recipe's learning rate over the epochs of `steps` steps each."""
    made = figure_style.figure(270)
    axes = figure_style.panel(made, 70, 34, 540, 178)
    moments = [Moment(epoch, step, steps, recipe.epochs) for epoch in range(recipe.epochs) for step in range(steps)]
    epochs = (np.arange(len(moments)) + 0.5) / steps
    rates = np.array([recipe.optimizer.lr * recipe.schedule.at(moment) for moment in moments])
    peak, top = epochs[rates.argmax()], recipe.optimizer.lr
    axes.fill_between(epochs, rates, color=figure_style.BLUE, alpha=0.12, linewidth=0)
    axes.plot(epochs, rates, color=figure_style.BLUE, linewidth=2.4)
    axes.set(xlim=(0, max(MAX_EPOCHS, recipe.epochs)), ylim=(0, 1.3 * top), xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 3, 5, 10]))
    axes.set_yticks([0, top / 2, top], [formatting.number(rate) for rate in (0, top / 2, top)])
    axes.set_title("Learning rate", loc="left", fontsize=figure_style.NORMAL, fontweight="bold", pad=10)
    at = formatting.number(round(peak, 1))
    label = axes.annotate(f"peak {formatting.number(top)} at epoch {at}", (peak, top), (0, 7), textcoords="offset points")
    label.set(color=figure_style.BLUE, fontsize=figure_style.SMALL)
    words = f"Learning rate over {formatting.count(recipe.epochs)} epochs: it is highest, {formatting.number(top)}, at epoch {at}"
    return figure_style.describe(made, f"{words}, and {rates[-1]:.2g} in the last step.")
