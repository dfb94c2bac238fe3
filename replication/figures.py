"""The figures about all published models: claims beside measurements, accuracy against parameters, kernels."""

from collections.abc import Mapping, Sequence
from itertools import product
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
from replication import overview
from replication.results import OTHERS, Placed
from website import index

COARSE = (0.92, 0.95, 0.975, 0.985, 0.99, 0.994, 0.996)
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
        claimed = tables.claimed(each.model.claim, marks[0])
        mean = formatting.percent(each.mean, formatting.digits_against(each.mean, MIN_ACCURACY))
        figures = f"claimed {claimed}, mean {mean}"
        models.append(f"{each.model.name} {claimed} and {mean}")
        for x, text, side, weight in ((0, each.model.long_title, "left", "bold"), (1, figures, "right", "normal")):
            label = axes.text(x, place + 0.25, text, transform=axes.get_yaxis_transform(), ha=side, va="center", weight=weight)
            label.set(fontsize=SMALL, color=INK, path_effects=HALO)
    _accuracy_axis(axes, axes.xaxis, axes.axvline)
    axes.set(ylim=(len(made), 0), yticks=[], xlim=height((0.973, 0.9967)))
    axes.spines["left"].set_visible(False)
    figure.caption = (
        f"{overview.above(made)} A row is a model: its claim, the luckiest seed at its best and at its last epoch, and the mean of all "
        "seeds, whose interval is the band. The dashed line is the target."
    )
    figure.alt = f"A row per published model, its claim and what it is made of. Claim and mean of the seeds: {'; '.join(models)}."
    return figure


def _accuracy_axis(axes: Axes, axis: Any, target_line: Any) -> None:
    axis.set_ticks(height(TICKS), [formatting.percent(tick, 1) for tick in TICKS])
    target_line(height(MIN_ACCURACY), color=GREEN, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, frameon=False, fontsize=SMALL, handletextpad=0.2, columnspacing=1.0)


Mark = tuple[float, float, str, str, dict[str, Any]]  # x, accuracy, what it is, where it leads, its look


def accuracy_by_parameters(made: Sequence[Placed], series: Sequence[Result]) -> ReportFigure:
    """Draw accuracy against parameters: published models as measured and claimed, other repositories as claimed, the series.

    Every mark says what it is where the pointer rests, and links to its report or, where it is known, its repository.
    Where marks pile up, a part is enlarged.
    """
    figure = figure_style.figure(674, vector=True)
    axes, closer = figure_style.panel(figure, 70, 84, WIDTH - 86, 250), figure_style.panel(figure, 70, 398, WIDTH - 86, 230)
    other = {"marker": "x", "color": FADED, "linestyle": "", "markersize": 6}
    claims: list[Mark] = [
        (each.model.n_parameters, each.model.claim.headline, f"{each.model.long_title}, claimed", f"{each.model.name}.html", CLAIM)
        for each in made
    ]
    claims += [(each.n_parameters, each.best, f"{each.name}, claimed", each.url, other) for each in OTHERS]
    means = _means(_titled(made), BLUE, "", "here") + _means(_titled(series), GREEN, "../", "this series")
    for part in (axes, closer):
        _draw(figure, part, claims + means)
        for result, colour in [(each.result, BLUE) for each in made] + [(result, GREEN) for result in series]:
            part.vlines(result.n_parameters, *height(result.summary.interval), color=colour, linewidth=1.2)
        part.axvline(MAX_PARAMETERS, color=GREEN, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1)
        part.axhline(height(MIN_ACCURACY), color=GREEN, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1)
    for name, look in {"published model, as claimed": CLAIM, "other repository, as claimed": other, **MEASURED}.items():
        axes.plot([], [], label=name, **look)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, frameon=False, fontsize=SMALL, handletextpad=0.2, columnspacing=1.0)
    ticks = (1_000, 2_000, 4_000, 8_000, 16_000)
    axes.set(xscale="log", ylim=height((0.91, 0.9975)))
    axes.set_xticks(ticks, [formatting.count(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(height(COARSE), [formatting.percent(tick, 1) for tick in COARSE])
    closer.set(xlim=(6_600, 8_500), ylim=height((0.9918, 0.9977)), xlabel="parameters")
    fine = (0.992, 0.993, 0.994, 0.995, 0.996, 0.997)
    closer.set_xticks(range(6_750, 8_500, 250), [formatting.count(tick) for tick in range(6_750, 8_500, 250)])
    closer.set_yticks(height(fine), [formatting.percent(tick, 1) for tick in fine])
    seen, all_ = [(x, height(y)) for x, y, *_ in claims + means], [*(each.result for each in made), *series]
    bars = [[(result.n_parameters, end) for end in height(result.summary.interval)] for result in all_]
    for part in (axes, closer):
        limits = [[(MAX_PARAMETERS, y) for y in part.get_ylim()], [(x, height(MIN_ACCURACY)) for x in part.get_xlim()]]
        named = {each.step: (each.n_parameters, height(each.summary.final_mean)) for each in series}
        near = {name: at for name, at in named.items() if (at[1] > closer.get_ylim()[0]) == (part is closer)}
        _label(part, near, seen, bars + limits)
    figure_style.title(closer, "Enlarged: where marks pile up")
    figure.caption = (
        f"{_most_accurate(made, series)}Claims are one run each, mostly its best epoch, chosen on the test set. The accuracies measured "
        "here are means of seeds after the last epoch, with their intervals. Every mark says what it is, and links to its report or, where "
        "it is known, its repository."
    )
    figure.alt = (
        f"Accuracy against parameters: {formatting.counted(len(made), 'published model')} as measured and as claimed, "
        f"{formatting.count(len(OTHERS))} other repositories as claimed, and {formatting.counted(len(series), 'step')} of this series."
    )
    return figure


def _label(
    axes: Axes,
    named: Mapping[str, tuple[float, float]],
    marks: Sequence[tuple[float, float]],
    lines: Sequence[Sequence[tuple[float, float]]],
) -> None:
    """Label points where the label hides neither a mark, a line (its two ends) nor another label, and lead a line to each."""
    pixels, bounds = axes.transData.transform, axes.get_window_extent().extents.reshape(2, 2)
    dots = pixels(marks)
    around = [dots + 10 * np.array(side) for side in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))]
    taken = np.concatenate([*around, *(np.linspace(*pixels(ends), 100) for ends in lines)])
    look = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": SMALL, "color": GREEN, "path_effects": HALO}
    for name, point in sorted(named.items(), key=lambda item: item[1][1]):
        line = {"arrowstyle": "-", "color": GREEN, "linewidth": 1, "shrinkA": 0, "shrinkB": 3}
        label, at = axes.annotate(name, point, (0, 0), arrowprops=line, **look), pixels(point)
        half = label.get_window_extent().size / 2 + 7
        for distance, angle in product(range(20, 400, 8), np.linspace(0, 2 * np.pi, 48, endpoint=False)):
            middle = at + (half + distance) * (np.cos(angle), np.sin(angle))
            leader = np.linspace(at, middle, 60)[6:]
            inside = (middle - half > bounds[0]).all() and (middle + half < bounds[1]).all()
            others = dots[np.abs(dots - at).max(1) > 1]  # marks and labels, which no line may cross
            crossed = np.hypot(*(leader[:, None] - others[None]).transpose(2, 0, 1)).min(initial=99) < 14
            if inside and not crossed and not (np.abs(taken - middle) < half).all(1).any():
                label.set_position((middle - at) * 72 / axes.figure.dpi)
                words = middle + half * np.stack(np.meshgrid(*[np.linspace(-1, 1, 12)] * 2), 2).reshape(-1, 2)
                dots, taken = np.concatenate([dots, words]), np.concatenate([taken, words, leader])
                break


def _most_accurate(made: Sequence[Placed], series: Sequence[Result]) -> str:
    """Return the highest mean under the limit of parameters, of the series and of the published models, and the highest claim."""
    said = []
    for whose, found in {"this series": _titled(series), "the published models": _titled(made)}.items():
        if small := [(one.summary.final_mean, title, one.n_parameters) for title, one in found if one.n_parameters < MAX_PARAMETERS]:
            mean, title, n = max(small)
            said.append(f"{whose} {formatting.percent(mean)} ({title}, {formatting.count(n)} parameters)")
    if not said:
        return ""
    claims = [(each.model.claim.headline, each.model.n_parameters) for each in made] + [(each.best, each.n_parameters) for each in OTHERS]
    highest = max(claim for claim, n in claims if n < MAX_PARAMETERS)
    return f"Highest mean under {overview.LIMIT} parameters: {', '.join(said)}; highest claim: {formatting.percent(highest)}. "


def accuracy_by_time(made: Sequence[Placed], series: Sequence[Result]) -> ReportFigure:
    """Draw accuracy against the training time of a seed, of published models and of the series, all measured here."""
    figure = figure_style.figure(330, vector=True)
    axes = figure_style.panel(figure, 70, 40, WIDTH - 86, 230)
    for group, colour, root, where in ((_titled(made), BLUE, "", "here"), (_titled(series), GREEN, "../", "this series")):
        times = [min(result.seconds) for _, result in group]
        marks = [(time, *mark[1:]) for time, mark in zip(times, _means(group, colour, root, where), strict=True)]
        _draw(figure, axes, [(x, y, f"{text}, {formatting.seconds(x)} a seed", url, look) for x, y, text, url, look in marks])
        for time, (_, result) in zip(times, group, strict=True):
            axes.vlines(time, *height(result.summary.interval), color=colour, linewidth=1.2)
    for name, look in MEASURED.items():
        axes.plot([], [], label=name, **look)
    axes.set(xscale="log", xlabel="time of the quickest seed")
    ticks = (30, 60, 120, 300, 600, 1200, 2400)
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in ticks if low <= tick <= high], [formatting.seconds(tick) for tick in ticks if low <= tick <= high])
    axes.minorticks_off()
    _accuracy_axis(axes, axes.yaxis, axes.axhline)
    axes.set_ylim(height((LOWEST, 0.9975)))
    figure.caption = (
        f"{_quickest(made, series)} A dot is the mean of a recipe's seeds after the last epoch, with its interval, and the dashed line the "
        "target. The time is that of the quickest seed, for others may have shared the processor; machines differ, and Provenance of each "
        f"report names them. Means below {formatting.percent(LOWEST, 1)} are not shown."
    )
    figure.alt = f"Accuracy against training time: {formatting.counted(len(made) + len(series), 'recipe')}, measured here."
    return figure


def _quickest(made: Sequence[Placed], series: Sequence[Result]) -> str:
    """Return which recipes reach the target, and in what time the quickest does, of the series and of the published models."""
    said = []
    for whose, found in {"recipes of this series": _titled(series), "published models": _titled(made)}.items():
        there = [(min(one.seconds), title) for title, one in found if one.summary.final_mean >= MIN_ACCURACY]
        quickest = f" (the quickest: {min(there)[1]}, {formatting.seconds(min(there)[0])} a seed)" if there else ""
        said.append(f"{formatting.of(len(there), len(found))} {whose}{quickest}")
    return f"The target of {overview.TARGET} is reached on average by {' and by '.join(said)}."


LOWEST = 0.985  # where the axis of accuracy by time begins
DOT = {"marker": "o", "linestyle": "", "markersize": 5}
MEASURED = {"published model, here": DOT | {"color": BLUE}, "step of this series": DOT | {"color": GREEN}}


def _titled(found: Sequence[Placed | Result]) -> list[tuple[str, Result]]:
    return [(each.title, each) if isinstance(each, Result) else (each.model.long_title, each.result) for each in found]


def _means(found: Sequence[tuple[str, Result]], colour: str, root: str, where: str) -> list[Mark]:
    marks = []
    for title, result in found:
        page = index.BESIDE.get(result.step, result.step)
        mean = result.summary.final_mean
        marks.append((result.n_parameters, mean, f"{title}, {where}", f"{root}{page}.html", DOT | {"color": colour}))
    return marks


def _draw(figure: ReportFigure, axes: Axes, marks: Sequence[Mark]) -> None:
    for x, accuracy, text, url, look in marks:
        (mark,) = axes.plot(x, height(accuracy), **look)
        figure.tip(mark, f"{text}: {formatting.percent(accuracy)}", url or None)


def kernels(record: Mapping[str, Any]) -> ReportFigure:
    """Draw the kernels of a net's first layer, and how far each tap of its last convolution moved in training."""
    first, moved = (np.array(record["kernels"][name]) for name in ("first", "moved"))
    figure, side = figure_style.figure(180), 100
    largest = max(np.abs(first).max(), 1e-9)
    pictures = [(kernel, f"first layer, {formatting.count(n)}", "PuOr_r", -largest, largest) for n, kernel in enumerate(first, 1)]
    pictures.append((moved, "last, moved", "Blues", 0, moved.max()))
    for place, (values, name, colours, low, high) in enumerate(pictures):
        axes = figure_style.panel(figure, 16 + place * (side + 22), 46, side, side)
        axes.imshow(values, cmap=colours, vmin=low, vmax=high)
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        figure_style.title(axes, "", name)
    still = f"{formatting.of(int((moved == 0).sum()), moved.size)} taps"
    figure.caption = (
        f"{still} of the last convolution did not move in training. On the left are the kernels of the first layer, orange above zero and "
        "purple below; the last square shows how far each tap of the last convolution moved on average, the darker the farther."
    )
    figure.alt = (
        f"The {formatting.count(len(first))} kernels of the first layer, and how far each tap of the last convolution moved in training: "
        f"{still} did not move at all."
    )
    return figure
