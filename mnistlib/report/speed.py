"""The benchmark's record as a page: reports/benchmarks.json to benchmarks.html beside it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from mnistlib import files, formatting
from mnistlib.errors import ResultError
from mnistlib.report import page as pages
from mnistlib.report.overview import Badge

NAME = "benchmarks"
TITLE = "Speed, measured"
STYLE = """
.speed :is(td, tbody th) { vertical-align: top }
.speed small { display: block; color: var(--soft); font-weight: 400 }
.speed td.bar { width: 24%; min-width: 7rem }
.speed td.bar span { display: block; min-width: 2px; height: 0.8rem; margin-top: 0.35rem; border-radius: 0.2rem; background: var(--link) }
.speed tr.rival td.bar span { background: var(--soft) }
.speed .number { text-align: right; font-variant-numeric: tabular-nums }
"""


@dataclass(frozen=True)
class Line:
    """One line of a table, every cell a text."""

    name: str
    small: str  # below the name
    median: str
    range: str
    parts: str
    share: float  # of the longest bar of its table, in percent
    rival: bool
    note: str = ""


def build(record: Path) -> Path:
    """Write the page of a benchmark's record beside it, and return its path; raise ResultError for a record that cannot be read."""
    try:
        value = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"{record.name} cannot be read ({type(error).__name__}); `make bench` writes it.") from None
    return files.write(record.with_suffix(".html"), page(value))


def page(record: dict[str, Any]) -> str:
    """Return the text of the page of a benchmark's record."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(pages.FOLDER / "template"), autoescape=True)
    about = record["provenance"]
    text = environment.get_template("speed.html.j2").render(
        home=pages.HOME,
        name=NAME,
        title=TITLE,
        style=pages.style() + STYLE,
        sha256=files.sha256(files.canonical(record)),
        goals=[goal(entry) for entry in record["goals"]],
        n_reached=formatting.of(sum(entry["reached"] for entry in record["goals"]), len(record["goals"])),
        machine=machine(about),
        seconds=formatting.seconds(about["seconds"]),
        tables={letter: lines(record["rows"], letter) for letter in sorted({row["row"] for row in record["rows"]})},
        growth=growth(record["rows"]),
        facts=["From the file benchmarks.json", pages.LICENCE, f"Run on {about['started'][:10]}", *later(record)],
    )
    return text.rstrip() + "\n"


def later(record: dict[str, Any]) -> list[str]:
    """Return, for every table that was measured after the rest, a text that says when and on what."""
    return [
        f"Table {letter} on {about['started'][:10]}, on {formatting.counted(about['cores'], 'core')} of {about['cpu'] or 'an unknown processor'}"
        for letter, about in record.get("later", {}).items()
    ]


def machine(about: dict[str, Any]) -> list[dict[str, str]]:
    """Return the machine that a benchmark ran on, as labels and texts."""
    threads = f"{formatting.count(about['cores'])} cores, {about['instructions']}"
    found = {"Processor": about["cpu"] or "unknown", "Cores": threads, "System": about["system"], "PyTorch": about["torch"]}
    found |= {"torchvision": about["torchvision"], "Python": about["python"]} | ({"GPU": about["gpu"]} if about["gpu"] else {})
    return [{"label": label, "text": str(text)} for label, text in found.items()]


def goal(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a goal as a line of its table."""
    digits = "{:.0%}" if entry["goal"] < 1 else "{:.1f}"
    badge = Badge("kept", "reached") if entry["reached"] else Badge("missed", "missed")
    return {
        "row": entry["row"],
        "name": entry["name"],
        "goal": f"{entry['way']} {formatting.number(entry['goal']) if entry['goal'] >= 1 else digits.format(entry['goal'])}",
        "value": digits.format(entry["value"]),
        "badges": (badge,),
    }


def lines(rows: Sequence[dict[str, Any]], letter: str) -> list[Line]:
    """Return the lines of one table, their bars as long as their medians, against the longest."""
    own = [row for row in rows if row["row"] == letter]
    longest, one_thing = max(row["median"] for row in own), len({row["what"] for row in own}) == 1
    return [
        Line(
            name=row["who"] if one_thing else row["what"],
            small=row["who"] if not one_thing and len({other["who"] for other in own}) > 1 else "",
            median=figure(row["median"], row["unit"]),
            range=f"{figure(row['low'], row['unit'])} to {figure(row['high'], row['unit'])}" if len(row["values"]) > 1 else "one run",
            parts=", ".join(f"{name} {figure(value, row['unit'])}" for name, value in row["parts"].items() if visible(value, row["unit"])),
            share=100 * row["median"] / longest,
            rival=row["who"] != "this series",
            note=note(row),
        )
        for row in own
    ]


def figure(value: float, unit: str) -> str:
    """Return a value in its unit."""
    if unit == "s":
        return formatting.seconds(value)
    return f"{value:.2f} ms" if unit.startswith("ms") else f"{value:.1f}" if value < 1_000 else formatting.count(round(value))


def visible(value: float, unit: str) -> bool:
    """Say whether a part is large enough to be named."""
    return value >= (0.005 if unit.startswith("ms") else 0.05)


def note(row: dict[str, Any]) -> str:
    """Return what a line says beside its figures."""
    about, said = row["about"], []
    final = sorted(about.get("final", []))
    if final:
        n = formatting.count(len(final))
        said.append(f"median accuracy {formatting.percent(statistics.median(final))} over {n} seed{'s' if len(final) > 1 else ''}")
    if "reached" in about:
        said.append({None: "not run to its end", True: "reached", False: "not reached, a lower bound"}[about["reached"]])
    if "epochs" in about:
        said.append(f"{formatting.count(about['epochs'])} epochs")
    if "n_parameters" in about:
        said.append(f"{formatting.count(about['n_parameters'])} parameters")
    if "epochs_timed" in about:
        ran = "one round whole, the others" if "whole" in about else "all rounds"
        said.append(f"{ran} computed from {formatting.count(about['epochs_timed'])} of its epochs")
    if "share" in about:
        said.append(f"{formatting.percent(about['share'], 0)} of the product rate of {about['rate']:.0f} GFLOP/s")
    if about.get("compile"):
        said.append(f"after {formatting.seconds(about['compile'])} of compilation")
    if about.get("kind"):
        said.insert(0, about["kind"])
    return "; ".join(said)


def growth(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """Return, for what grows, the amounts with their seconds and their multiples of the smallest."""
    found: dict[str, list[dict[str, str]]] = {}
    for what in dict.fromkeys(row["what"] for row in rows if row["row"] == "g"):
        own = sorted((row for row in rows if row["row"] == "g" and row["what"] == what), key=lambda row: row["about"]["amount"])
        first = own[0]
        found[what] = [
            {
                "amount": formatting.count(round(row["about"]["amount"])),
                "seconds": figure(row["median"], "s"),
                "more": f"{row['about']['amount'] / first['about']['amount']:.1f}",
                "longer": f"{row['median'] / first['median']:.1f}",
            }
            for row in own
        ]
    return found
