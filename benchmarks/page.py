"""What the notebook benchmarks.ipynb shows: rows in; sentences, tables and figures out. And the page that is made of it."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import record as records
from benchmarks.measure import FULL
from benchmarks.record import THIS_SERIES, Row
from mnistlib import files, formatting, models, recipe, steps
from mnistlib.notebook import runner
from mnistlib.report import figure_style, html, model_summary
from mnistlib.report.figure_style import ReportFigure
from mnistlib.report.html import Shown
from website import build as website
from website import site

NOT_MEASURED = "This table was not measured in this run."
LABELS, BARS = 264, 276  # CSS pixels: the labels left of the bars, and the bars
ROW = 30  # CSS pixels
WRAPPED = 30  # characters of a label in one line


def build(path: Path) -> Path:
    """Execute the notebook for a record and write the page beside the record; return the page's path."""
    committed = path == files.root() / "reports" / "benchmarks.json"
    parameters, around = {"record_path": str(path)}, None
    if committed:
        parameters, around = {}, site.of(website.order(path.parent), path.stem, site.downloads(path.stem))
        site.copy_notebook(path.stem, path.parent)
    out_dir, page = files.root() / "build" / "benchmarks", path.with_suffix(".html")
    return runner.run(runner.find("benchmarks"), out_dir, parameters, page, site=around).page


def headline(record: dict[str, Any]) -> Shown:
    """Return the answer first: the speed-up of one seed, the time to the target, and how many goals were reached."""
    sentences = [*_earlier(record), *_speed_up(record), *_time_to_target(record), *_goals(record["goals"])]
    return html.together(html.sentence(text) for text in sentences)


def _earlier(record: dict[str, Any]) -> Iterator[str]:
    """Yield that a net was timed which is not that of the reports, where it is so."""
    rows = records.rows(record, "seed")
    timed, now = rows[0].about.get("n_parameters") if rows else None, n_parameters()
    if timed and timed != now:
        day, sizes = record["provenance"]["seed"]["started"][:10], (formatting.count(timed), formatting.count(now))
        yield (
            f"The times of one seed, to the target and per hour are of {day}, of an earlier net of this series with {sizes[0]} parameters "
            f"and its own schedules. The net of the present reports has {sizes[1]}; its seeds have not been timed yet. Provenance says "
            "when the other tables were measured."
        )


def n_parameters() -> int:
    """Return the parameters of the net of the present reports."""
    recipe_now = steps.get(FULL).recipe
    return model_summary.of(models.build(recipe_now.model, recipe_now.dropout)).n_parameters


def _speed_up(record: dict[str, Any]) -> Iterator[str]:
    """Yield what one seed takes, beside the first baseline."""
    goal, rows = _goal(record, "seed"), records.rows(record, "seed")
    if goal:
        ours, theirs = (formatting.seconds(row.median) for row in rows[:2])
        yield (
            f"One seed of {rows[0].about['step']}, the most accurate step, takes {ours} from the start of the process to its end. A seed "
            f"of {rows[1].method}, a public recipe for the same exercise, takes {theirs}: {goal['value']:.1f} times as long "
            f"(goal: {goal['goal']:g})."
        )


def _time_to_target(record: dict[str, Any]) -> Iterator[str]:
    """Yield when the target is reached, beside the baselines' whole schedules."""
    goal, rows = _goal(record, "target"), records.rows(record, "target")
    if goal:
        theirs = f"; the quicker of two public recipes takes {goal['value']:.1f} times as long (goal: {goal['goal']:g})"
        outcome = theirs if rows[0].about["reached"] else ", but the committed seeds do not reach it"
        yield f"Time to {formatting.percent(recipe.MIN_ACCURACY)}: {formatting.seconds(rows[0].median)}{outcome}."


def _goals(goals: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield how many goals were reached."""
    yield f"{formatting.of(sum(goal['reached'] for goal in goals), len(goals))} goals were reached; the table below judges each."


def _goal(record: dict[str, Any], table: str) -> dict[str, Any] | None:
    """Return the first goal of a table."""
    return next((goal for goal in record["goals"] if goal["table"] == table), None)


def goals_table(record: dict[str, Any]) -> Shown:
    """Return every goal with its value and whether it was reached."""
    lines = []
    for goal in record["goals"]:
        badge = html.badge("reached" if goal["reached"] else "missed")
        asked, value = (formatting.percent(x, 0) if goal["goal"] < 1 else f"{x:.3g}" for x in (goal["goal"], goal["value"]))
        lines.append([goal["name"], f"{goal['direction']} {asked}", value, badge])
    return html.table("Goals, and what was measured", ["Goal", "Required", "Measured", "Verdict"], lines)


def bars(rows: Sequence[Row], title: str) -> ReportFigure | Shown:
    """Return a horizontal bar per row: its median, with a thin line from the lowest to the highest round."""
    if not rows:
        return html.sentence(NOT_MEASURED, "note")
    made = figure_style.figure(44 + ROW * len(rows), vector=True)
    axes = figure_style.panel(made, LABELS, 34, BARS, ROW * len(rows))
    names, places = _names(rows), range(len(rows))
    colours = [figure_style.BLUE if row.method == THIS_SERIES else figure_style.FADED for row in rows]
    axes.barh(places, [row.median for row in rows], height=0.62, color=colours)
    axes.hlines(places, [min(row.values) for row in rows], [max(row.values) for row in rows], color=figure_style.INK, linewidth=1.4)
    for place, row in zip(places, rows, strict=True):
        axes.annotate(text(row, row.median), (max(row.values), place), (6, 0), textcoords="offset points", va="center")
    axes.set(xlim=(0, 1.02 * max(max(row.values) for row in rows)), ylim=(len(rows) - 0.5, -0.5), xticks=[])
    axes.set_yticks(places, [textwrap.fill(name, WRAPPED) for name in names], linespacing=0.95)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_title(title, loc="left", fontsize=figure_style.NORMAL, fontweight="bold", pad=10, x=-LABELS / BARS)
    blue = "; this series is blue" if len({row.method for row in rows}) > 1 else ""
    made.caption = (
        f"{_finding(rows, names) if len(rows) > 1 else ''}Medians over the rounds, and a thin line from the lowest to the highest{blue}."
    )
    made.alt = f"{title}. " + "; ".join(f"{name}: {text(row, row.median)}" for name, row in zip(names, rows, strict=True)) + "."
    return made


def _finding(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Return which row is the best of a table, and how many times better than the worst it is."""
    less = rows[0].unit in ("s", "ms")
    (best, name), *_, (worst, other) = sorted(zip(rows, names, strict=True), key=lambda pair: pair[0].median * (1 if less else -1))
    first, last, share = text(best, best.median), text(worst, worst.median), worst.median / best.median
    if less:
        return f"The least time is {first}: {name}. The most is {last}, {share:.1f} times as long: {other}. "
    return f"The most is {first} {rows[0].unit}: {name}. The least is {last}, {formatting.percent(share, 0)} of that: {other}. "


def table(rows: Sequence[Row], caption: str) -> Shown:
    """Return a line per row: median, range, ratio to the first row, and notes; what the time is made of is folded."""
    if not rows:
        return html.phrase("")
    kind = "Recipe" if len({row.method for row in rows}) > 1 else "Case"
    head, lines = [kind, "Median", "Range", "Ratio", "Notes"], []
    for name, row in zip(_names(rows), rows, strict=True):
        low, high = text(row, min(row.values)), text(row, max(row.values))
        spread = f"{low.removesuffix(' ms')} to {high}" if len(row.values) > 1 else "one round"
        lines.append([name, text(row, row.median), spread, f"{row.median / rows[0].median:.2f}", "; ".join(_notes(row))])
    if not any(line[-1] for line in lines):
        head, lines = head[:-1], [line[:-1] for line in lines]
    return html.together([html.table(f"{caption}; ratio: to the first row", head, lines), *_parts(rows, kind)])


def _parts(rows: Sequence[Row], kind: str) -> Iterator[Shown]:
    """Yield, folded, what the time of each row is made of, where that was measured."""
    names = [
        name for name in dict.fromkeys(name for row in rows for name in row.parts) if max(row.parts.get(name, 0) for row in rows) >= 0.005
    ]
    if names:
        lines = [
            [label, *(text(row, row.parts[name]) if name in row.parts else "" for name in names)]
            for label, row in zip(_names(rows), rows, strict=True)
            if row.parts
        ]
        yield html.folded("What the time is made of", html.table("Medians by part", [kind, *(name.capitalize() for name in names)], lines))


def _names(rows: Sequence[Row]) -> list[str]:
    """Return what each row is called among others: its case, its method, or both; on the table scaling, its amount."""
    if all("amount" in row.about for row in rows):
        return [f"{formatting.count(round(row.about['amount']))} {row.case}".replace("1 seeds", "1 seed") for row in rows]
    cases, methods = len({row.case for row in rows}) > 1, len({row.method for row in rows}) > 1
    return [f"{row.method}, {row.case}" if cases and methods else row.case if cases else row.method for row in rows]


def text(row: Row, value: float) -> str:
    """Return a value of a row in its unit."""
    if row.unit == "s":
        return formatting.seconds(value)
    return f"{value:.2f} ms" if row.unit == "ms" else f"{value:.1f}" if value < 1_000 else formatting.count(round(value))


def _notes(row: Row) -> Iterator[str]:
    """Yield what a row says beside its figures."""
    about = row.about
    if about.get("kind"):
        yield about["kind"]
    if "step" in about:
        yield about["step"]
    if final := about.get("final_accuracy"):
        yield f"median accuracy {formatting.percent(statistics.median(final))}, {formatting.counted(len(final), 'seed')}"
    if "reached" in about:
        yield {None: "whole schedule not run", True: "target reached", False: "target not reached: a lower bound"}[about["reached"]]
    if "epochs" in about:
        yield formatting.counted(about["epochs"], "epoch")
    if "n_parameters" in about:
        yield f"{formatting.count(about['n_parameters'])} parameters"
    if "epochs_timed" in about:
        rounds = "other rounds" if "whole_seconds" in about else "all rounds"
        yield f"{rounds} computed from {formatting.counted(about['epochs_timed'], 'epoch')}"
    if "efficiency" in about:
        yield f"efficiency {formatting.percent(about['efficiency'], 0)}"
    if about.get("compile"):
        yield f"after {formatting.seconds(about['compile'])} of compilation"


def work_and_time(rows: Sequence[Row]) -> Shown:
    """Return how other nets stand to the step's own: what each multiplies more or less, and how much more or less time it takes."""
    own = next((row for row in rows if not row.about.get("kind")), None)
    said = []
    for row in rows:
        if own is not None and row.about.get("kind") == "another net":
            work, time = row.about["mflop_per_image"] / own.about["mflop_per_image"], row.median / own.median
            parts = _beside(work, "more", "fewer", "as many") + " multiplications", _beside(time, "more", "less", "as much") + " time"
            said.append(f"{row.case}: {' and '.join(parts)}")
    return html.sentence(f"Work and time are not the same. Beside the net of the step, {'; '.join(said)}.") if said else html.phrase("")


def _beside(ratio: float, more: str, less: str, same: str) -> str:
    """Return a ratio in words: how many percent more or less, or the same where that rounds to nothing."""
    share = formatting.percent(abs(ratio - 1), 0)
    return same if share == "0%" else f"{share} {more if ratio > 1 else less}"


def scaling(record: dict[str, Any]) -> Shown:
    """Return, for each quantity that grows, how much longer an epoch takes when there is more of it."""
    rows = records.rows(record, "scaling")
    parts = []
    for case in dict.fromkeys(row.case for row in rows):
        own = sorted((row for row in rows if row.case == case), key=lambda row: row.about["amount"])
        lines = []
        for row in own:
            amount, growth = row.about["amount"], (row.about["amount"] / own[0].about["amount"], row.median / own[0].median)
            lines.append([formatting.count(round(amount)), text(row, row.median), *(f"{times:.1f}" for times in growth)])
        parts.append(html.table(f"Growth with {case}", [case.capitalize(), "Training", "Times the amount", "Times the time"], lines))
    return html.together(parts) if parts else html.sentence(NOT_MEASURED, "note")


def machine(record: dict[str, Any]) -> Shown:
    """Return the machine, the versions and the day of each run, by the tables that it measured."""
    tables: dict[str, list[str]] = {}
    for table, about in record["provenance"].items():
        tables.setdefault(about["started"], []).append(table)
    runs = {formatting.listed(names).capitalize(): record["provenance"][names[0]] for names in tables.values()}
    labels = {"cpu": "Processor", "cores": "Cores", "instructions": "Instruction set", "gpu": "GPU", "system": "System"}
    labels |= {"python": "Python", "torch": "PyTorch", "torchvision": "torchvision", "commit": "Commit"}
    lines = [["Day", *(about["started"][:10] for about in runs.values())]]
    lines += [["Duration", *(formatting.seconds(about["seconds"]) for about in runs.values())]]
    for name, label in labels.items():
        lines.append([label, *(str(about[name] or "none")[:16] for about in runs.values())])
    shown = html.table("Where and when each table was measured", ["Table", *runs], lines)
    code = html.element("code", files.sha256(files.canonical(record)))
    return html.together([shown, html.sentence(Shown(f"The record’s sha256: {code.html}.", f"The record’s sha256: {code.text}."), "note")])
