"""How much of a reported accuracy is luck: of one seed, of few seeds, of the best epoch. Computed from the committed seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnistlib import formatting, steps
from mnistlib.recipe import MIN_ACCURACY
from mnistlib.report import figure_style, html, result
from mnistlib.report.figure_style import BLUE, FADED, GREEN, INK, ORANGE, SMALL, ReportFigure
from mnistlib.report.html import Shown
from mnistlib.report.result import Result
from mnistlib.stats import intervals
from replication import overview
from replication.results import Placed
from website import figures

N_DRAWS, SIZES = 10_000, (1, 3, 5, 10)
PERCENT = formatting.percent


def load(reports: Path, names: Sequence[str]) -> list[Result]:
    """Return the results of some steps."""
    return [result.read(reports / "results" / f"{name}.json") for name in names]


def finals(one: Result) -> np.ndarray:
    """Return the accuracy of every seed after the last epoch."""
    return np.array([run.final for run in one.runs])


def one_seed(results: Sequence[Result], near: Sequence[Result]) -> Shown:
    """Return what a single run of each recipe might have reported, and the ruler that follows from the recipes `near` the target."""
    rows = []
    for one in results:
        found = finals(one)
        passing = formatting.of(one.summary.n_pass, len(one.runs))
        rows.append([one.step, PERCENT(found.mean()), PERCENT(found.min()), PERCENT(found.max()), passing])
    head = ["Recipe", "Mean", "Unluckiest seed", "Luckiest seed", f"Seeds at {PERCENT(MIN_ACCURACY)} or above"]
    chance = formatting.amount(formatting.POINTS, figures.ruler(near))
    said = (
        f"Near the target, 95 of 100 pairs of single runs of one recipe differ by less than {chance}. Single runs of two recipes must "
        "differ by more before chance is an unlikely explanation."
    )
    return html.together([html.table("What one seed might have reported", head, rows), html.sentence(said)])


def duel(worse: Result, better: Result) -> Shown:
    """Return how often a single run of the recipe with the lower mean beats one of the other, over all pairs of seeds."""
    a, b = finals(worse), finals(better)
    wins, ties = float((a[:, None] > b[None]).mean()), float((a[:, None] == b[None]).mean())
    return html.sentence(
        f"{better.step} has the higher mean. In {PERCENT(wins, 0)} of the {formatting.count(a.size * b.size)} pairs of one seed each, "
        f"{worse.step} is ahead all the same; in {PERCENT(ties, 1)} they are equal."
    )


def samples(worse: Result, better: Result, size: int) -> tuple[np.ndarray, float]:
    """Draw experiments with `size` seeds of each recipe, with replacement; return the differences, and the share called significant."""
    random = np.random.default_rng(size)
    a, b = (np.stack([random.choice(finals(one), size) for _ in range(N_DRAWS)]) for one in (worse, better))
    found = [intervals.welch(y, x) for x, y in zip(a[:1000], b[:1000], strict=True)]
    significant = [effect is not None and effect.per_seed > 0 and (effect.interval[0] > 0 or effect.interval[1] < 0) for effect in found]
    return b.mean(1) - a.mean(1), float(np.mean(significant))


def few_seeds(worse: Result, better: Result) -> Shown:
    """Return what experiments with few seeds would have found of a difference that many seeds know better."""
    truth = finals(better).mean() - finals(worse).mean()
    rows = []
    for size in SIZES:
        found, significant = samples(worse, better, size)
        low, high = np.quantile(found, [0.025, 0.975])
        change = formatting.change(formatting.IMAGES._replace(name=""), low, high)
        wrong = PERCENT(float((found * truth < 0).mean()), 0)
        rows.append([formatting.count(size), change, wrong, PERCENT(significant, 0) if size > 1 else "none: no spread"])
    n_draws, n_seeds, all_ = formatting.count(N_DRAWS), formatting.count(len(better.runs)), formatting.change(formatting.IMAGES, truth)
    caption = f"{n_draws} experiments drawn from the {n_seeds} seeds of each recipe; all seeds say {all_}"
    return html.table(caption, ["Seeds of each", "Difference found, of 10,000 (95 of 100)", "Wrong sign", "Called significant"], rows)


def best_epoch(results: Sequence[Result]) -> Shown:
    """Return what choosing the epoch, and the seed, by test accuracy adds to the mean after the last epoch."""
    rows = []
    for one in results:
        bests, mean = np.array([max(run.history.eval_accuracy) for run in one.runs]), finals(one).mean()
        plain = formatting.IMAGES._replace(name="")
        gains = (bests.mean() - mean, finals(one).max() - mean, bests.max() - mean)
        rows.append([one.step, PERCENT(mean), *(formatting.change(plain, gain) for gain in gains)])
    head = ["Recipe", "Mean, last epoch", "Best epoch", "Luckiest seed", "Luckiest seed at its best epoch"]
    return html.table("What choosing on the test set adds, images of 10,000", head, rows)


def claims(made: Sequence[Placed], epochs: Sequence[Mapping[str, Any]]) -> Shown:
    """Return where other people's claims lie among our seeds of their recipes, and what choosing the epoch on the test set adds."""
    return html.together([overview.headline(made), *map(html.sentence, (overview.above(made), overview.answer("epoch", epochs)))])


def draw(worse: Result, better: Result) -> ReportFigure:
    """Draw every seed of two recipes, and the differences that experiments with few seeds of each would find."""
    figure = figure_style.figure(366, vector=True)
    upper, lower = figure_style.panel(figure, 120, 34, 490, 84), figure_style.panel(figure, 120, 202, 490, 110)
    for place, one in enumerate((worse, better)):
        for run, height in zip(one.runs, np.resize([0, -0.14, 0.14], len(one.runs)), strict=True):
            (dot,) = upper.plot(100 * run.final, place + height, "o", color=BLUE, alpha=0.55, markersize=5, markeredgewidth=0)
            figure.tip(dot, f"{one.step}, seed {run.seed}: {PERCENT(run.final)}")
        upper.vlines(100 * finals(one).mean(), place - 0.3, place + 0.3, color=INK, linewidth=2.4)
    upper.axvline(100 * MIN_ACCURACY, color=GREEN, linestyle=(0, (5, 3)), linewidth=1.4)
    upper.set(ylim=(1.6, -0.6), yticks=[0, 1])
    upper.set_yticklabels([worse.step, better.step], color=INK)
    upper.set_xlabel("accuracy after the last epoch, %")
    for place, size in enumerate(SIZES):
        found, _ = samples(worse, better, size)
        low, high = np.quantile(10_000 * found, [0.025, 0.975])
        lower.hlines(place, low, high, color=ORANGE, linewidth=7, alpha=0.6)
    lower.axvline(0, color=FADED, linewidth=1)
    lower.axvline(10_000 * (finals(better).mean() - finals(worse).mean()), color=INK, linewidth=2.4)
    lower.set(ylim=(len(SIZES) - 0.4, -0.6), yticks=range(len(SIZES)), xlabel="difference found, images of 10,000")
    lower.set_yticklabels([formatting.counted(size, "seed") for size in SIZES], color=INK, fontsize=SMALL)
    for axes in (upper, lower):
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    figure_style.title(upper, "Every seed, and the mean of each recipe")
    figure_style.title(lower, "What so few seeds of each would find, 95 of 100 times")
    figure.caption = (
        f"The seeds of {worse.step} and {better.step} overlap. The bars show what an experiment with few seeds of each finds; the black "
        "stroke is what all seeds say."
    )
    figure.alt = f"Two rows of seeds that overlap, and bars of differences that become narrower with {', '.join(map(str, SIZES))} seeds."
    return figure


def repeated(looks: Sequence[dict]) -> Shown:
    """Return the recipes of the series that were trained more than once with the same seeds, and how many seeds passed each time."""
    runs: dict[tuple[str, str, tuple[int, ...]], list[Sequence[float]]] = {}
    for look in looks:
        if look["step"] in steps.STEPS:
            runs.setdefault((look["step"], look["recipe"], tuple(look["seeds"])), []).append(look["final"])
    rows = []
    for (name, _, _), seen in runs.items():
        passed = [formatting.of(sum(each >= MIN_ACCURACY for each in one), len(one)) for one in seen]
        rows += [[f"An earlier {name}", ", then ".join(passed)]] if len(seen) > 1 else []
    return html.table("The same recipe and seeds, trained again: seeds at or above the target", ["Recipe", "Seeds passing"], rows)
