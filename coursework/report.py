"""The document about a net as text for a terminal, and as annotations and summary for a workflow on GitHub."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnistlib.formatting import count

EMPTY: dict[str, Any] = {"schema": 1, "submission": None, "file": None, "name": None, "passes": False, "error": None}
EMPTY |= {"parameters": None, "parameter_limit": None, "multiply_adds": None, "receptive_field": None}
EMPTY |= {"layers": [], "findings": [], "not_executed": [], "failed": []}
SEVERITIES = {"rule": "breaks a rule of the exercise", "accuracy": "costs accuracy", "style": "style"}
ANSWER = "answer.json"  # what coursework.check leaves in the sandbox
HEADINGS = ("Layer", "Kind", "Output", "Parameters", "Multiply-adds", "Receptive field")


def lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that a reader sees."""
    file = Path(document["file"]).name
    yield f"{document['name']} in {file}"
    if document["parameters"] is not None:
        yield f"Parameters: {count(document['parameters'])}; fewer than {count(document['parameter_limit'])} are allowed"
    if document["multiply_adds"] is not None:  # where the net runs
        yield f"Multiply-adds: {count(document['multiply_adds'])} an image"
        field = document["receptive_field"]
        yield f"Receptive field: {'not measured' if field is None else f'{count(field)} pixels'}"
    if document["layers"]:
        yield from ("", *_table(document["layers"]))
    for finding in document["findings"]:
        cell = f"cell {finding['cell']}, " if finding["cell"] else ""
        place = f"{file}, {cell}line {finding['line']}" if finding["line"] else file
        yield from ("", f"{place}: {finding['rule']}, {SEVERITIES[finding['severity']]}")
        yield from (f"  {finding[part]}" for part in ("what", "why", "fix"))
    broken = sum(finding["severity"] == "rule" for finding in document["findings"])
    advice = len(document["findings"]) - broken
    yield ""
    yield f"Rules broken: {broken}. Advice: {advice}."


def _table(layers: list[dict[str, Any]]) -> Iterator[str]:
    rows = [HEADINGS]
    for one in layers:
        numbers = (one["parameters"], one["multiply_adds"], one["receptive_field"])
        size = "x".join(map(str, one["output"]))
        rows.append((one["name"], one["kind"], size, *("" if number is None else count(number) for number in numbers)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [text.ljust(width) if place < 3 else text.rjust(width) for place, (text, width) in enumerate(zip(row, widths, strict=True))]
        yield "  ".join(cells).rstrip()


def annotations(document: dict[str, Any]) -> Iterator[str]:
    """Yield the commands by which a workflow marks lines of a file, one for each finding, and the text as a group of the log."""
    levels = {"rule": "error", "accuracy": "warning", "style": "notice"}
    if document["error"]:
        yield f"::error title=mnistlib check::{_escaped(document['error'])}"
        return
    file = _escaped(os.path.relpath(document["file"]), in_property=True)
    for one in document["findings"]:
        line = f",line={one['line']}" if one["line"] and not one["cell"] else ""
        cell = f"Cell {one['cell']}, line {one['line']}: " if one["cell"] else ""
        words = _escaped(f"{cell}{one['what']} {one['why']} {one['fix']}")
        yield f"::{levels[one['severity']]} file={file}{line},title={one['rule']}::{words}"
    yield from ("::group::The whole report", *lines(document), "::endgroup::")


def _escaped(text: str, in_property: bool = False) -> str:
    """Return a text as a workflow command takes it."""
    for sign in "%\r\n" + ":," * in_property:
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def summary(document: dict[str, Any]) -> str:
    """Return the document as Markdown: the verdict, the figures, and a row for each finding."""
    if document["error"]:
        return f"### The net could not be checked\n\n{_cell(document['error'])}\n"
    verdict = "keeps the rules of the exercise" if document["passes"] else "breaks a rule of the exercise"
    known = [one for one in (document["parameters"], document["multiply_adds"], document["receptive_field"]) if one is not None]
    figures = (
        f"{count(document['parameters'])} parameters (fewer than {count(document['parameter_limit'])} are allowed), "
        f"{count(document['multiply_adds'])} multiply-adds an image, receptive field {count(document['receptive_field'])} pixels.\n"
        if len(known) == 3
        else "Its figures are not known.\n"
    )
    rows = [
        f"| {one['line'] or ''} | {one['rule']}, {SEVERITIES[one['severity']]} | {_cell(one['what'])} | {_cell(one['fix'])} |"
        for one in document["findings"]
    ]
    table = ["| Line | Finding | What | Fix |", "|---|---|---|---|", *rows] if rows else ["Nothing was found."]
    return "\n".join([f"### {_cell(document['name'])} {verdict}", "", figures, *table]) + "\n"


def _cell(text: str) -> str:
    """Return a text as plain words in a table of Markdown."""
    for sign, code in {"&": "&amp;", "<": "&lt;", "|": "&#124;", "`": "&#96;", "*": "&#42;", "_": "&#95;", "[": "&#91;", "\n": " "}.items():
        text = text.replace(sign, code)
    return text
