"""Where a net stands among the others: softmax regression, the steps and the published models, on images that can be compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from coursework.recipes import SERIES
from mnistlib import files, formatting, recipe_dict, steps
from mnistlib.errors import ResultError
from mnistlib.published import repository
from mnistlib.recipe import MIN_ACCURACY
from mnistlib.report import figure_style, tables
from mnistlib.report import result as results
from mnistlib.report.figure_style import BLUE, FADED, GREEN, INK, ORANGE, SMALL, ReportFigure
from mnistlib.report.html import Shown, element, phrase, sentence, table, together
from mnistlib.report.result import Result
from mnistlib.report.step_report import StepReport
from mnistlib.stats import comparison, intervals, misclassified
from mnistlib.stats.comparison import Difference
from mnistlib.stats.intervals import Bounds

ROW = 24  # CSS pixels that a row of the figure is high
TICKS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
FLOOR = "softmax"
OWN = "your net"


@dataclass(frozen=True)
class Row:
    """One net's accuracy and its 95% interval."""

    name: str
    mean: float
    interval: Bounds
    basis: str  # what they were computed from: "30 seeds, 15 epochs"
    own: bool = False
    measured: bool = True  # False for a range that only follows from other measurements


def own(result: Result, name: str = OWN) -> Row:
    """Return the row of a result."""
    basis = f"{formatting.counted(result.summary.n_seeds, 'seed')}, {formatting.counted(result.epochs, 'epoch')}"
    return Row(name, result.summary.final_mean, result.summary.interval, basis)


def on_test() -> list[Row]:
    """Return softmax regression, the steps and the published models as their committed results have them, on the test images."""
    reports = files.root() / "reports"
    paths = [reports / "results" / f"{name}.json" for name in (FLOOR, *steps.STEPS)]
    paths += [reports / "published" / "results" / f"{name}.json" for name, model in repository.MODELS.items() if model.claim]
    found = [results.read(path) for path in paths if path.is_file()]
    return [own(result, result.step) for result in found if result.headline]


def on_folds() -> list[Row]:
    """Return softmax regression and the steps as the records of the choices have them, on folds of writers held out."""
    found = ((name, _record(name)) for name in (FLOOR, *steps.STEPS))
    return [row for name, record in found if record for row in _of_record(name, record)]


def _record(name: str) -> Mapping[str, Any] | None:
    try:
        return tables.choice(name)
    except ResultError:
        return None


def _of_record(name: str, record: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the row of a step: its very recipe, in the part of its record with the most runs."""
    recipe, found = steps.get(name).recipe, []
    for part in [record, *record.get("rounds", ())]:
        candidates = [one for one in part.get("candidates", ()) if "final" in one]
        found += [(part["splits"], one["final"]) for one in candidates if recipe_dict.from_dict(one["recipe"]) == recipe]
    if not found:
        return
    splits, final = max(found, key=lambda each: (len(set(each[0])) > 1, len(each[1])))
    folds: dict[str, list[float]] = {}
    for split, accuracy in zip(splits, final, strict=True):
        folds.setdefault(split, []).append(accuracy)
    effect = intervals.welch([float(np.mean(values)) for values in folds.values()])
    if effect is not None:
        basis = f"{formatting.counted(len(folds), 'fold')}, {formatting.counted(recipe.epochs, 'epoch')}"
        yield Row(name, effect.value, intervals.of_share(effect).interval, basis)


def ratios(folds: Sequence[Row], test: Sequence[Row]) -> dict[str, float]:
    """Return each step's error on the test images as a fraction of its error on the writers held out."""
    errors = {row.name: 1 - row.mean for row in test}
    return {row.name: errors[row.name] / (1 - row.mean) for row in folds if row.name in errors}


def expected(result: Result, found: Mapping[str, float]) -> Row:
    """Return the range in which the test accuracy lies if a net's error falls from writers held out to test images as the steps' did."""
    low, high = result.summary.interval
    bounds = 1 - (1 - low) * max(found.values()), 1 - (1 - high) * min(found.values())
    return Row(OWN, sum(bounds) / 2, bounds, "a range", own=True, measured=False)


def panels(result: Result) -> dict[str, list[Row]]:
    """Return the rows of the figure, the lowest first, by the images that they were measured on."""
    mine, test = Row(**vars(own(result)) | {"own": True}), on_test()
    if result.split == "test":
        return {"On the test images": _sorted([mine, *test])}
    folds = on_folds()
    shown = {"On writers held out of the training images": _sorted([mine, *folds])}
    found = ratios(folds, test)
    if found:
        published = [row for row in test if row.name in repository.MODELS]
        shown["On the test images, where your net was not tried"] = _sorted([expected(result, found), *published])
    return shown


def _sorted(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.mean)


def figure(result: Result) -> ReportFigure | Shown:
    """Draw accuracies with their intervals, a row per net, in a panel for each kind of images; the axes are logarithmic in the error.

    Without results of others, there is nothing to draw.
    """
    shown = panels(result)
    if len(next(iter(shown.values()))) == 1:
        return phrase("")
    heights = [ROW * len(rows) for rows in shown.values()]
    made = figure_style.figure(sum(heights) + 66 * len(shown) + 6, vector=True)
    low = min(row.interval[0] for rows in shown.values() for row in rows)
    high = max(row.interval[1] for rows in shown.values() for row in rows)
    top = 34
    for (heading, rows), height in zip(shown.items(), heights, strict=True):
        axes = figure_style.panel(made, 166, top, 390, height)
        _panel(made, axes, heading, rows, (low, high))
        top += height + 66
    made.caption = _words(shown) + (
        " A bar is the mean, the band its interval; the dashed line is the target, and the axis is logarithmic in the error."
    )
    means = "; ".join(f"{heading}: {', '.join(_said(row) for row in rows)}" for heading, rows in shown.items())
    made.alt = f"Accuracies with their intervals, a row per net, the lowest first. {means}."
    return made


def _panel(made: ReportFigure, axes: Axes, heading: str, rows: Sequence[Row], bounds: Bounds) -> None:
    axes.set_xscale("function", functions=(lambda x: -np.log10(np.clip(1 - x, 1e-5, 2)), lambda y: 1 - 10**-y))
    for place, row in enumerate(rows):
        colour = ORANGE if row.own else BLUE
        axes.hlines(place, *row.interval, color=colour, linewidth=8, alpha=0.45 if row.own else 0.22)
        if row.measured:
            bar = axes.vlines(row.mean, place - 0.32, place + 0.32, color=colour, linewidth=3)
            made.tip(bar, _tip(row))
        look = {"va": "center", "fontsize": SMALL, "transform": axes.get_yaxis_transform(), "fontweight": "bold" if row.own else "normal"}
        axes.text(-0.02, place, row.name, ha="right", color=ORANGE if row.own else INK, **look)
        axes.text(1.02, place, formatting.percent(row.mean) if row.measured else "a range", ha="left", color=INK, **look)
    axes.axvline(MIN_ACCURACY, color=GREEN, linewidth=1.4, linestyle=(0, (5, 3)))
    error = 1 - np.array(bounds)
    axes.set(xlim=(1 - 1.15 * error[0], 1 - error[1] / 1.15), ylim=(-0.7, len(rows) - 0.3), yticks=[])
    axes.set_xticks(_ticks(1.15 * error[0], error[1] / 1.15), minor=False)
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="x", colors=FADED)
    figure_style.title(axes, heading)


def _ticks(high: float, low: float) -> list[float]:
    """Return accuracies to mark on an axis between two errors, far enough from each other for their labels."""
    inside, kept = [tick for tick in reversed(TICKS) if low <= 1 - tick <= high], []
    for tick in inside:
        if not kept or np.log((1 - tick) / (1 - kept[-1])) > 0.12 * np.log(high / low):
            kept.append(tick)
    return kept


def _tip(row: Row) -> str:
    return f"{row.name}: {formatting.percent(row.mean)}, interval {formatting.interval(row.interval)}; {row.basis}"


def _said(row: Row) -> str:
    return f"{row.name} {formatting.percent(row.mean)}" if row.measured else f"{row.name} {formatting.interval(row.interval)}"


def _words(shown: Mapping[str, Sequence[Row]]) -> str:
    rows = next(iter(shown.values()))
    mine = next(row for row in rows if row.own)
    below = sum(row.mean < mine.mean for row in rows)
    return f"Your net is at {formatting.percent(mine.mean)}, above {formatting.of(below, len(rows) - 1)} others."


def comparable(result: Result) -> Shown:
    """Return what the figure can say of a result and what it cannot, in sentences with computed figures."""
    if not on_test():
        return sentence("The results of the others are not on this machine; a clone of the project holds them in reports/.", "note")
    if result.split == "test":
        said = ["The others' results are the committed ones, on the same images."]
    else:
        folds, test = on_folds(), on_test()
        said = [
            f"Your net was evaluated on {formatting.count(result.n_eval)} training images of writers who were held out. "
            "The recorded figures of the steps are on other writers of the training images, in folds; they decided the steps, so the best "
            "candidates may look a little better than they are. The published models were evaluated on the test images alone."
        ]
        if found := ratios(folds, test):
            few, many = (formatting.percent(value, 0) for value in (min(found.values()), max(found.values())))
            said.append(
                f"The test images are easier: the error of {formatting.counted(len(found), 'net')} of the series was {few} to {many} of "
                f"their error on writers held out. If that holds for your net, its test accuracy lies between "
                f"{formatting.interval(expected(result, found).interval).replace(' to ', ' and ')}. This is a calculation, no measurement."
            )
    epochs = sorted({steps.get(name).recipe.epochs for name in steps.STEPS})
    if result.epochs < max(epochs):
        usual = formatting.listed([formatting.count(number) for number in epochs]).replace(" and ", " or ")
        said.append(
            f"Your net trained {formatting.counted(result.epochs, 'epoch')}, the steps {usual}. A net that trains for longer is mostly "
            "more accurate, so this comparison is to your net's disadvantage."
        )
    if result.train_limit:
        said.append(f"Your net trained on {formatting.count(result.n_train)} images, the others on all of them.")
    return together(sentence(text, "note") for text in said)


def target(result: Result) -> Shown:
    """Return what accuracy on writers held out goes with the target on the test images, by the steps; nothing of a result on those."""
    found = ratios(on_folds(), on_test())
    if result.split == "test" or not found:
        return phrase("")
    bounds = sorted(1 - (1 - MIN_ACCURACY) / ratio for ratio in found.values())
    asked, there = formatting.percent(MIN_ACCURACY), formatting.interval((bounds[0], bounds[-1]))
    return sentence(
        f"The exercise asks for {asked} of the test images. Writers held out are harder to read: in the series, {there} of their images "
        "goes with that. Verdict and claims compare with the target itself.",
        "note",
    )


def differences(report: StepReport) -> dict[str, Difference]:
    """Return by how much a net is more accurate than each step that was trained as long and evaluated on the same images."""
    found, place = {}, report.path.parents[1]
    for name in steps.STEPS:
        other, _ = results.find(name, results.conditions(report.result), report.mnist.sha256, place)
        if other is not None:
            wrong = misclassified.wrong(other.predictions, report.mnist.eval.labels)
            found[name] = comparison.difference(report.wrong, wrong, report.mnist.eval.writers, report.mnist.eval.groups, name)
    return found


def paired(report: StepReport) -> Shown:
    """Return the differences from the steps on the same images, or how to get one."""
    result, found = report.result, differences(report)
    if found:
        rows = [[name, comparison.figures(each)] for name, each in found.items()]
        return table("Your net minus each step that was trained as long, on the same images", ["Step", "Images that your net wins"], rows)
    values = {"split": result.split, "epochs": result.epochs} | ({"train_limit": result.train_limit} if result.train_limit else {})
    given = " ".join(f"-p {name} {value}" for name, value in values.items())
    words = "No step was trained as long and evaluated on the same images. Train one into the same folder, then run your net's page again:"
    return together([sentence(words, "note"), element("pre", f"mnistlib report {SERIES} {given} -y 'seeds: {result.seeds}'")])
