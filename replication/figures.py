"""The figures about all published models: claims beside measurements, accuracy against parameters, kernels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from mnistlib import formatting
from mnistlib.published import tables
from mnistlib.recipe import MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.report import figure_style
from mnistlib.report.figure_style import BLUE, FADED, GREEN, INK, ORANGE, PAPER, SMALL, WIDTH, ReportFigure
from mnistlib.report.result import Result
from replication.results import OTHERS, Placed

TICKS = np.array([0.975, 0.98, 0.985, 0.99, 0.992, 0.994, 0.996])
ROW = 44  # CSS pixels that a model takes
HALO = [withStroke(linewidth=3, foreground=PAPER)]  # keeps words legible across a line
CLAIM = {"marker": "D", "markerfacecolor": PAPER, "markeredgecolor": ORANGE, "markeredgewidth": 1.4, "linestyle": "", "markersize": 6}
BEST = CLAIM | {"marker": "o", "markeredgecolor": BLUE}
LAST = {"marker": "o", "color": BLUE, "linestyle": "", "markersize": 6}
MEAN = {"marker": "|", "color": BLUE, "linestyle": "", "markersize": 13, "markeredgewidth": 2.4}
LADDER = {"claimed": CLAIM, "best epoch of our luckiest seed": BEST, "last epoch of that seed": LAST, "mean of all last epochs": MEAN}


def height(accuracy: Any) -> Any:
    """Return where an accuracy lies on an axis that is logarithmic in the error, so that the last tenths show."""
    return -np.log10(np.maximum(1 - np.asarray(accuracy), 1e-5))


def ladder(made: Sequence[Placed]) -> ReportFigure:
    """Draw each claim above what it is made of: best epoch of the luckiest seed, its last epoch, the mean of all seeds."""
    figure = figure_style.figure(ROW * len(made) + 120, vector=True)
    axes = figure_style.panel(figure, 16, 66, WIDTH - 32, ROW * len(made))
    models = []
    for place, each in enumerate(made):
        line = place + 0.7
        marks = [each.model.claim.headline, max(each.bests), each.finals[each.luckiest], each.mean]
        axes.hlines(line, *height(each.result.summary.interval), color=BLUE, linewidth=8, alpha=0.22)
        for (name, look), accuracy in zip(LADDER.items(), marks, strict=True):
            axes.plot(height(accuracy), line, label=name if not place else None, **look)
        claimed, mean = tables.claimed(each.model.claim, marks[0]), formatting.percent(each.mean)
        figures = f"claimed {claimed}, mean {mean}"
        models.append(f"{each.model.name} {claimed} and {mean}")
        for x, text, side, weight in ((0, each.model.long_title, "left", "bold"), (1, figures, "right", "normal")):
            label = axes.text(x, place + 0.25, text, transform=axes.get_yaxis_transform(), ha=side, va="center", weight=weight)
            label.set(fontsize=SMALL, color=INK, path_effects=HALO)
    _accuracy_axis(axes, axes.xaxis, axes.axvline)
    axes.set(ylim=(len(made), 0), yticks=[], xlim=height((0.973, 0.9967)))
    axes.spines["left"].set_visible(False)
    above = formatting.of(sum(each.model.claim.headline > each.mean for each in made), len(made))
    figure.caption = f"{above} headline claims lie above the mean of our seeds after the last epoch. The band is the interval of that mean."
    figure.alt = f"A row per published model, its claim and what it is made of. Claim and mean of the seeds: {'; '.join(models)}."
    return figure


def _accuracy_axis(axes: Axes, axis: Any, target_line: Any) -> None:
    axis.set_ticks(height(TICKS), [formatting.percent(tick, 1) for tick in TICKS])
    target_line(height(MIN_ACCURACY), color=GREEN, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, frameon=False, fontsize=SMALL, handletextpad=0.2, columnspacing=1.0)


def accuracy_by_parameters(made: Sequence[Placed], series: Sequence[Result]) -> ReportFigure:
    """Draw accuracy against parameters: published models as measured and claimed, other repositories as claimed, the series."""
    figure = figure_style.figure(470, vector=True)
    axes = figure_style.panel(figure, 70, 70, WIDTH - 86, 345)
    sizes, claims = [each.model.n_parameters for each in made], [each.model.claim.headline for each in made]
    axes.plot(sizes, height(claims), label="published model, as claimed", **CLAIM)
    sizes, claims = [other.n_parameters for other in OTHERS], [other.best for other in OTHERS]
    axes.plot(sizes, height(claims), "x", color=FADED, label="other repository, as claimed")
    _means(axes, [each.result for each in made], BLUE, "published model, here")
    _means(axes, series, GREEN, "step of this series")
    _accuracy_axis(axes, axes.yaxis, axes.axhline)
    axes.axvline(MAX_PARAMETERS, color=GREEN, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1)
    axes.set(xscale="log", xlabel="parameters", ylim=height((0.9745, 0.9967)))
    ticks = (1_000, 2_000, 4_000, 8_000, 16_000)
    axes.set_xticks(ticks, [formatting.count(tick) for tick in ticks])
    axes.minorticks_off()
    figure.caption = (
        "Accuracy against parameters: what authors claim, what our seeds of their recipes measure, and the steps of this series."
    )
    figure.alt = (
        f"Accuracy against parameters: {formatting.count(len(made))} published models as measured and as claimed, "
        f"{formatting.count(len(OTHERS))} other repositories as claimed, and {formatting.counted(len(series), 'step')} of this series."
    )
    return figure


def _means(axes: Axes, found: Sequence[Result], colour: str, label: str) -> None:
    sizes, means = [result.n_parameters for result in found], height([result.summary.final_mean for result in found])
    errors = np.abs(height([result.summary.interval for result in found]).reshape(-1, 2).T - means)
    axes.errorbar(sizes, means, errors, fmt="o", color=colour, markersize=5, elinewidth=1.2, label=label)


def kernels(record: Mapping[str, Any]) -> ReportFigure:
    """Draw the kernels of a net's first layer, and how far each tap of its last convolution moved in training."""
    first, moved = (np.array(record["kernels"][name]) for name in ("first", "moved"))
    figure, side = figure_style.figure(180), 100
    largest = max(np.abs(first).max(), 1e-9)
    pictures = [(kernel, f"first layer, {formatting.count(n)}", "PuOr_r", -largest, largest) for n, kernel in enumerate(first, 1)]
    pictures.append((moved, "last, movement", "Blues", 0, moved.max()))
    for place, (values, name, colours, low, high) in enumerate(pictures):
        axes = figure_style.panel(figure, 16 + place * (side + 22), 46, side, side)
        axes.imshow(values, cmap=colours, vmin=low, vmax=high)
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        figure_style.title(axes, "", name)
    figure.caption = "The kernels of the first layer, and how far each tap of the last convolution moved in training."
    figure.alt = (
        f"The {formatting.count(len(first))} kernels of the first layer, and how far each tap of the last convolution moved in training: "
        f"{formatting.of(int((moved == 0).sum()), moved.size)} taps did not move at all."
    )
    return figure
