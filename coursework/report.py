"""The document about a net as text for a terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnistlib.formatting import count

EMPTY: dict[str, Any] = {"schema": 1, "submission": None, "file": None, "name": None, "passes": False, "error": None}
EMPTY |= {"parameters": None, "parameter_limit": None, "multiply_adds": None, "receptive_field": None}
EMPTY |= {"layers": [], "findings": [], "not_executed": [], "failed": []}
SEVERITIES = {"rule": "breaks a rule of the exercise", "accuracy": "costs accuracy", "style": "style"}
HEADINGS = ("Layer", "Kind", "Output", "Parameters", "Multiply-adds", "Receptive field")


def lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that a reader sees."""
    file = Path(document["file"]).name
    yield f"{document['name']} in {file}"
    if document["parameters"] is not None:
        yield f"Parameters: {count(document['parameters'])}; fewer than {count(document['parameter_limit'])} are allowed"
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
