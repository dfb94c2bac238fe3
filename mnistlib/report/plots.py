"""Figures of numbers: curves per epoch, a learning-rate schedule, the accuracies of a series."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mnistlib import formatting
from mnistlib.recipe import MAX_EPOCHS, MIN_ACCURACY, Recipe
from mnistlib.report import figure_style
from mnistlib.report.figure_style import BLUE, FADED, GREEN, INK, ORANGE, SMALL, ReportFigure
from mnistlib.report.html import Shown, phrase
from mnistlib.report.result import Result
from mnistlib.stats import comparison, intervals
from mnistlib.stats.comparison import Difference
from mnistlib.stats.summary import per_epoch

# The axes are the same in every step; what lies outside is drawn at the edge, with an arrowhead.
LIMITS = {"accuracy": (0.95, 0.999), "loss": (0.01, 1.0)}
TICKS = {"accuracy": (0.95, 0.97, 0.98, 0.99, 0.994, 0.996, 0.998, 0.999), "loss": (0.01, 0.03, 0.1, 0.3, 1.0)}
TICK_LABELS = {"accuracy": [f"{100 * tick:g}%" for tick in TICKS["accuracy"]], "loss": [f"{tick:g}" for tick in TICKS["loss"]]}
_HALO = [withStroke(linewidth=3, foreground=figure_style.PAPER)]  # keeps words legible across a line
_TARGET = {"color": GREEN, "linewidth": 1.4, "linestyle": (0, (5, 3))}
_COARSE = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.996)  # ticks where accuracies lie far apart
_LABEL = 34  # points that a label of two lines is high
_ROW = 52  # CSS pixels that a row of a series is high


def curves(runs: Sequence[Any], split: str, published: Mapping[str, Sequence[float]] = MappingProxyType({})) -> ReportFigure:
    """Draw accuracy and loss per epoch, on the training images (running) and on the evaluated split: every seed thin, the mean strong.

    The accuracy axis is logarithmic in the error, so that the first epochs and the last tenths are both visible.
    `published` holds accuracies per epoch that others report, by a name for each.
    """
    figure = figure_style.figure(640, vector=True)
    upper, lower = figure_style.panel(figure, 70, 38, 470, 340), figure_style.panel(figure, 70, 444, 470, 140)
    looks = {"train": ("training", ORANGE, "--"), "eval": (split, BLUE, "-")}
    n_epochs = max(MAX_EPOCHS, per_epoch(runs, "eval_loss").shape[1])
    for axes, kind in ((upper, "accuracy"), (lower, "loss")):
        axes.set(xlim=(0.5, n_epochs + 0.5), xticks=range(1, n_epochs + 1, 2 if n_epochs <= MAX_EPOCHS else 10))
        axes.set(ylim=_height(kind, LIMITS[kind]), yticks=_height(kind, TICKS[kind]), yticklabels=TICK_LABELS[kind])
        _spread(axes, [_lines(axes, per_epoch(runs, f"{part}_{kind}"), kind, *look) for part, look in looks.items()])
    for name, values in published.items():
        upper.plot(range(1, len(values) + 1), _height("accuracy", values), color=INK, linewidth=1.2, linestyle=":")
        _annotate(upper, f"published, {name}", (1, _height("accuracy", values[0])), (0, -13), INK)
    target = float(_height("accuracy", MIN_ACCURACY))
    upper.axhline(target, **_TARGET)
    _annotate(upper, f"target {formatting.percent(MIN_ACCURACY)}", (0.7, target), (0, 5), GREEN)
    lower.set_xlabel("epoch")
    figure_style.title(upper, "Accuracy", "one seed" if len(runs) == 1 else f"{formatting.count(len(runs))} seeds, thin, and their mean")
    figure_style.title(lower, "Loss")
    for axes in (upper, lower):
        for epoch, words in enumerate(_tips(runs, split), 1):
            figure.tip(axes.axvspan(epoch - 0.5, epoch + 0.5, alpha=0, linewidth=0), words)
    ends = [f" Published, {name}, dotted: ends at {formatting.percent(values[-1])}." for name, values in published.items()]
    figure.alt, figure.caption = _curves_words(runs, split)
    figure.alt += "".join(ends)
    return figure


def _tips(runs: Sequence[Any], split: str) -> list[str]:
    """Return what each epoch measured, the means of the seeds that reached it."""
    names = {f"{split} accuracy": "eval_accuracy", "running training accuracy": "train_accuracy"}
    losses = {f"{split} loss": "eval_loss", "running training loss": "train_loss"}
    texts = []
    for place in range(per_epoch(runs, "eval_loss").shape[1]):
        means = {words: per_epoch(runs, name)[:, place].mean() for words, name in (names | losses).items()}
        shown = [f"{words} {formatting.percent(mean) if words in names else formatting.decimals(mean)}" for words, mean in means.items()]
        texts.append("\n".join([f"Epoch {place + 1}", *shown]))
    return texts


def _height(kind: str, value: Any) -> np.ndarray:
    """Return where values lie on their axis: losses by their logarithm, accuracies by that of their error, both clipped."""
    value = np.clip(value, *LIMITS[kind])
    return -np.log10(1 - value) if kind == "accuracy" else np.log10(value)


def _annotate(axes: Axes, text: str, place: tuple[float, float], offset: tuple[float, float], colour: str, **more: Any) -> Annotation:
    look = {"textcoords": "offset points", "fontsize": SMALL, "path_effects": _HALO, "annotation_clip": False}
    return axes.annotate(text, place, offset, color=colour, **look, **more)


def _lines(axes: Axes, values: np.ndarray, kind: str, name: str, colour: str, style: str) -> Annotation | None:
    epochs, mean, (low, high) = np.arange(1, values.shape[1] + 1), values.mean(0), LIMITS[kind]
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
    value = formatting.percent(mean[last]) if kind == "accuracy" else formatting.decimals(mean[last])
    return _annotate(axes, f"{name}\n{value}", (epochs[last], float(_height(kind, mean[last]))), (9, 0), colour, va="center")


def _spread(axes: Axes, labels: Sequence[Annotation | None]) -> None:
    points = axes.bbox.height / axes.figure.dpi * 72  # of the axes' height
    at = {label: axes.transLimits.transform(label.xy)[1] * points for label in labels if label is not None}
    place, above = _LABEL / 2 - 8 - _LABEL, points - _LABEL / 2 + 8 + _LABEL
    moved = {label: (place := max(at[label], place + _LABEL)) for label in sorted(at, key=at.get)}
    for label in reversed(moved):
        above = min(moved[label], above - _LABEL)
        label.set_position((9, above - at[label]))


def _curves_words(runs: Sequence[Any], split: str) -> tuple[str, str]:
    accuracy = per_epoch(runs, "eval_accuracy")
    n_seeds, n_epochs = accuracy.shape
    opening = f"Accuracy and loss per epoch, {formatting.counted(n_epochs, 'epoch')}, {formatting.counted(n_seeds, 'seed')}."
    reached = np.flatnonzero(np.isfinite(accuracy.mean(0)))
    if not len(reached):
        return opening, opening
    first, last, mean = reached[0], reached[-1], "mean " if n_seeds > 1 else ""
    final, running = accuracy[:, last], formatting.percent(per_epoch(runs, "train_accuracy")[:, last].mean())
    spread = f" (seeds from {formatting.percent(final.min())} to {formatting.percent(final.max())})" if n_seeds > 1 else ""
    ends = f"Accuracy: {split} {mean}ends at {formatting.percent(final.mean())}{spread}, running training {mean}at {running};"
    target = f"the target line is at {formatting.percent(MIN_ACCURACY)}."
    losses = {split: per_epoch(runs, "eval_loss").mean(0), "running training": per_epoch(runs, "train_loss").mean(0)}
    falls = [
        f"{name} {mean}goes from {formatting.decimals(loss[first])} to {formatting.decimals(loss[last])}" for name, loss in losses.items()
    ]
    axes = "Both axes are logarithmic, that of the accuracy in the error; an arrowhead marks values outside them."
    return f"{opening} {ends} {target} Loss: {', '.join(falls)}.", f"{ends} {target} {axes}"


def schedule(recipe: Recipe, steps: int = 20) -> ReportFigure:
    """Draw a recipe's learning rate over the epochs, each of `steps` optimizer steps."""
    figure = figure_style.figure(270, vector=True)
    axes = figure_style.panel(figure, 70, 34, 540, 178)
    total, planned, lr = recipe.epochs * steps, recipe.schedule, recipe.optimizer.lr
    epochs, top = (np.arange(total) + 0.5) / steps, lr * (planned.peak if planned else 1)
    rates = np.array([lr * (planned.lr_factor(step, total) if planned else 1) for step in range(total)])
    peak = epochs[rates.argmax()]
    axes.fill_between(epochs, rates, color=BLUE, alpha=0.12, linewidth=0)
    axes.plot(epochs, rates, color=BLUE, linewidth=2.4)
    axes.set(xlim=(0, max(MAX_EPOCHS, recipe.epochs)), ylim=(0, 1.3 * top), xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 3, 5, 10]))
    axes.set_yticks([0, top / 2, top], [formatting.number(rate) for rate in (0, top / 2, top)])
    figure_style.title(axes, "Learning rate")
    rate, at = formatting.number(top), formatting.number(round(peak, 1))
    _annotate(axes, f"peak {rate} at epoch {at}" if planned else f"constant, {rate}", (peak, top), (0, 7), BLUE)
    words = f"it is highest, {rate}, at epoch {at}, and {rates[-1]:.2g} in the last step" if planned else f"constant, {rate}"
    figure.alt = f"Learning rate over {formatting.counted(recipe.epochs, 'epoch')}: {words}."
    figure.caption = f"The learning rate of this recipe over its {formatting.counted(recipe.epochs, 'epoch')}: {words}."
    return figure


def accuracies(results: Sequence[Result], row: str = "step") -> ReportFigure:
    """Draw the final accuracies of several results, a row for each: seeds as dots, their mean, its interval, and the target as a line.

    The axis is logarithmic in the error, so that a floor far below the target can stand beside the steps near it.
    """
    figure = figure_style.figure(_ROW * len(results) + 70, vector=True)
    axes = figure_style.panel(figure, 40, 30, figure_style.WIDTH - 80, _ROW * len(results))
    axes.set_xscale(
        "function", functions=(lambda x: -np.log10(np.clip(1 - x, 1e-5, 2)), lambda y: 1 - 10**-y)
    )  # before the margins are set
    means: dict[str, str] = {}
    for place, result in enumerate(results):
        summary, middle = result.summary, place + 0.68
        runs = sorted(result.runs, key=lambda run: run.final)
        axes.hlines(middle, *summary.interval, color=BLUE, linewidth=9, alpha=0.22)
        axes.vlines(summary.final_mean, middle - 0.2, middle + 0.2, color=BLUE, linewidth=3)
        for run, height in zip(runs, middle + np.resize([0, -0.13, 0.13], len(runs)), strict=True):  # equal seeds stand beside each other
            (dot,) = axes.plot(run.final, height, "o", color=BLUE, alpha=0.6, markersize=5, markeredgewidth=0)
            figure.tip(dot, f"{result.step}, seed {run.seed}: {formatting.percent(run.final)}")
        means[result.step] = formatting.mean_sd(summary.final_mean, summary.final_sd)
        for x, text, weight in ((0, result.step, "bold"), (1, means[result.step], "normal")):
            look = {"ha": "right" if x else "left", "va": "center", "fontweight": weight, "fontsize": SMALL, "path_effects": _HALO}
            axes.text(x, place + 0.2, text, color=INK, transform=axes.get_yaxis_transform(), **look)
    axes.axvline(MIN_ACCURACY, **_TARGET)
    _annotate(axes, f"target {formatting.percent(MIN_ACCURACY)}", (MIN_ACCURACY, 0), (0, 6), GREEN, ha="center")
    axes.set(ylim=(len(results), 0), yticks=[])
    low, high = axes.get_xlim()
    wide = low < _COARSE[-2]
    ticks = _COARSE if wide else MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
    axes.set_xticks([tick for tick in ticks if low <= tick <= high], minor=False)
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%" if wide else formatting.percent(value)))
    axes.spines["left"].set_visible(False)
    what = f"Accuracy after the last epoch, a row per {row}: every seed as a dot, the mean as a bar, its interval as a band"
    said = "; ".join(map(" ".join, means.items()))
    figure.caption = f"{said}. A dot is a seed, the bar their mean, the band its interval, the dashed line the target."
    figure.alt = f"{what}, and a dashed line at the target of {formatting.percent(MIN_ACCURACY)}. Means: {said}."
    return figure


def differences(rows: Mapping[str, Difference]) -> ReportFigure | Shown:
    """Draw differences of accuracy in images of 10,000, a row for each: a thick line for other seeds alone, a thin one for writers too.

    Without any, there is nothing to draw.
    """
    if not rows:
        return phrase("")
    figure = figure_style.figure(34 * len(rows) + 66, vector=True)
    axes = figure_style.panel(figure, 210, 10, figure_style.WIDTH - 320, 34 * len(rows))
    axes.axvline(0, color=FADED, linewidth=1.2)
    for place, (name, each) in enumerate(rows.items()):
        value, low, high = (10_000 * part for part in (each.effect.value, *each.effect.interval))
        axes.hlines(place, low, high, color=BLUE, linewidth=1.6)
        if each.seed_interval:
            axes.hlines(place, *(10_000 * part for part in each.seed_interval), color=BLUE, linewidth=6, alpha=0.45)
        (dot,) = axes.plot(value, place, "o", color=BLUE, markersize=7)
        figure.tip(dot, f"{name}: {comparison.figures(each)}")
        look = {"va": "center", "color": INK, "fontsize": SMALL, "transform": axes.get_yaxis_transform()}
        axes.text(-0.02, place, name, ha="right", **look)
        axes.text(1.03, place, f"{value:+.1f}".replace("-", "−"), **look)
    axes.set(ylim=(len(rows) - 0.5, -0.5), yticks=[], xlabel="images of 10,000 won")
    axes.spines["left"].set_visible(False)
    decided = {name: each.effect.value for name, each in rows.items() if each.effect.interval[0] > 0 or each.effect.interval[1] < 0}
    sure = formatting.listed([f"{name} {10_000 * value:+.1f}".replace("-", "−") for name, value in decided.items()]) if decided else ""
    figure.caption = (
        f"{f'Beyond chance: {sure}' if sure else 'All of it can be chance'}. The points are images of 10,000 that are won, or lost. Thin "
        f"lines decide: {formatting.percent(intervals.LEVEL, 0)} intervals for other seeds and other writers; thick ones: seeds alone."
    )
    figure.alt = f"Differences of accuracy. {'; '.join(figure.tips.values())}."
    return figure


def first_seeds(report: Any, n: int = 5) -> ReportFigure:
    """Draw the accuracies of a step's first seeds above those of all its seeds."""
    both = [report.first_seeds(n), report] if len(report.runs) > n else [report]
    return accuracies([replace(each.result, step=formatting.counted(len(each.runs), "seed")) for each in both], "number of seeds")
