"""The figure of the index: what each step is worth, in three panels that share their rows."""

from collections.abc import Sequence

import numpy as np
import scipy
from matplotlib.ticker import FuncFormatter

from mnistlib import formatting
from mnistlib.recipe import MIN_ACCURACY
from mnistlib.report import figure_style
from mnistlib.report.figure_style import BLUE, FADED, GREEN, INK, ORANGE, SMALL, ReportFigure
from mnistlib.report.result import Result
from mnistlib.stats import intervals

ROW = 46  # CSS pixels that a step is high
LOWEST = 0.98  # where the axis of the accuracy begins; an arrowhead stands for what is lower
TICKS = (0.98, 0.99, 0.995)


def ruler(results: Sequence[Result]) -> float:
    """Return what the difference of two single runs of one recipe stays below in 95 of 100 cases, by the seeds of some recipes.

    The seeds of each vary normally with one variance, which is pooled over the recipes.
    """
    freedom = np.array([len(result.runs) - 1 for result in results])
    variance = np.average([result.summary.final_sd**2 for result in results], weights=freedom)
    return float(scipy.stats.t.ppf((1 + intervals.LEVEL) / 2, freedom.sum()) * (2 * variance) ** 0.5)


def steps(results: Sequence[Result], near: Sequence[Result]) -> ReportFigure:
    """Draw accuracy, gap and time per seed of each step; the ruler shows chance between two single runs of those `near` the target."""
    n, top = len(results), 44
    figure = figure_style.figure(top + ROW * n + 74, vector=True)
    left, middle, right = (figure_style.panel(figure, x, top, width, ROW * n) for x, width in ((122, 232), (426, 88), (546, 84)))
    left.set_xscale("function", functions=(lambda x: -np.log10(np.clip(1 - x, 1e-5, 2)), lambda y: 1 - 10**-y))
    for place, result in enumerate(results):
        summary, gap, seconds = result.summary, float(np.mean(result.gaps)), min(result.seconds)
        left.hlines(place + 0.12, *summary.interval, color=BLUE, linewidth=8, alpha=0.22)
        for run in result.runs:
            (dot,) = left.plot(run.final, place + 0.12, "o", color=BLUE, alpha=0.35, markersize=4.5, markeredgewidth=0)
            figure.tip(dot, f"{result.step}, seed {run.seed}: {formatting.percent(run.final)}")
        left.vlines(summary.final_mean, place - 0.08, place + 0.32, color=INK, linewidth=2)
        look = {"va": "center", "fontsize": SMALL, "color": INK}
        left.text(1.04, place, formatting.percent(summary.final_mean), ha="left", transform=left.get_yaxis_transform(), **look)
        if summary.final_mean < LOWEST:
            left.plot(0.02, place + 0.12, "<", color=BLUE, markersize=7, transform=left.get_yaxis_transform())
        left.text(-0.03, place, result.step, ha="right", transform=left.get_yaxis_transform(), **look)
        for axes, value, text in ((middle, 100 * gap, f"{100 * gap:.2f}"), (right, seconds, formatting.seconds(seconds))):
            axes.barh(place + 0.12, value, height=0.3, color=ORANGE if axes is middle else FADED, alpha=0.75)
            axes.text(0.04, place - 0.24, text.replace("-", "−"), ha="left", transform=axes.get_yaxis_transform(), **look)
    left.set_xlim(left=LOWEST)
    left.axvline(MIN_ACCURACY, color=GREEN, linewidth=1.4, linestyle=(0, (5, 3)))
    for axes, title in ((left, "Test accuracy"), (middle, "Gap, points"), (right, "Time")):
        axes.set(ylim=(n - 0.45, -0.5), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.set_title(title, loc="left", fontsize=SMALL, fontweight="bold", pad=8)
    for axes in (middle, right):
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.axvline(0, color=FADED, linewidth=0.8)
    left.set_xticks([tick for tick in TICKS if tick <= left.get_xlim()[1]], minor=False)
    left.set_xticks([], minor=True)
    left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    chance = ruler(near)
    ends = [left.transData.transform((x, 0)) for x in (MIN_ACCURACY, MIN_ACCURACY + chance)]
    begin, end = (left.transAxes.inverted().transform(each)[0] for each in ends)
    arrow = {"arrowstyle": "|-|", "color": GREEN, "mutation_scale": 4}
    below = -62 / (ROW * n)
    left.annotate("", (end, below), (begin, below), xycoords="axes fraction", arrowprops=arrow)
    words = f"chance between two runs: {formatting.amount(formatting.POINTS, chance)}"
    left.text(end + 0.04, below, words, ha="left", va="center", fontsize=SMALL, color=GREEN, transform=left.transAxes)
    best = max(result.summary.final_mean for result in results)
    level, target = formatting.percent(intervals.LEVEL, 0), formatting.percent(MIN_ACCURACY)
    figure.caption = (
        f"From {formatting.percent(results[0].summary.final_mean)} to {formatting.percent(best)}. A dot is a seed, the stroke their mean, "
        f"the band its {level} interval for other seeds and other writers; an arrowhead stands for what is below "
        f"{formatting.percent(LOWEST, 0)}. The dashed line is the target of {target}; the axis is logarithmic in the error. The gap is the "
        "accuracy on the clean training images minus that on the test images. The time is that of the quickest seed: others may have "
        "shared the processor. The ruler at the bottom: single runs of two recipes near the target must differ by more than this before "
        "chance is an unlikely explanation."
    )
    rows = "; ".join(f"{result.step} {formatting.percent(result.summary.final_mean)}" for result in results)
    figure.alt = f"Accuracy, gap and time of the quickest seed of each step. Mean accuracies: {rows}."
    return figure
