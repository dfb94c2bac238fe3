"""Tables, sentences and verdicts as HTML for a page and as plain text for a terminal, everything escaped."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2

COLOURS = {  # the class of a verdict's word in style.css
    **dict.fromkeys(("significantly above", "within", "held", "supported", "reached"), "good"),
    **dict.fromkeys(("at or above", "inconclusive"), "fair"),
    **dict.fromkeys(("below", "over", "not held", "refuted", "missed"), "bad"),
}
_NUMBER = re.compile(r"[+−-]?\d[\d.,]*%?( \(seed sd [\d.,]+\))?( of [\d,]+)?( ?(%|M|px|s|points))?")
_TABLE = jinja2.Environment(loader=jinja2.PackageLoader("mnistlib.report", "template")).get_template("table.html.j2")
_LINE = 34  # characters of a cell that may stand in one line


@dataclass(frozen=True)
class Shown:
    """What a report function returns: Jupyter shows the HTML, a terminal the text.

    `data` holds outputs for programs, by mimetype; they are stored in the notebook and are not shown.
    """

    html: str
    text: str
    data: dict[str, dict[str, Any]] = field(default_factory=dict)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": self.html, "text/plain": self.text, **self.data}

    def __repr__(self) -> str:
        return self.text


Cell = str | Shown


def together(parts: Iterable[Shown]) -> Shown:
    """Return several things, one below the other."""
    parts = list(parts)
    data = {mimetype: value for part in parts for mimetype, value in part.data.items()}
    return Shown("\n".join(part.html for part in parts), "\n\n".join(part.text for part in parts), data)


def phrase(text: Cell) -> Shown:
    """Return a text, escaped; what is HTML already stays as it is."""
    return text if isinstance(text, Shown) else Shown(html.escape(text), text)


def element(name: str, content: Cell, kind: str = "") -> Shown:
    """Return a text or HTML in an element, with a class where one is given."""
    inner = phrase(content)
    attribute = f' class="{html.escape(kind)}"' if kind else ""
    return Shown(f"<{name}{attribute}>{inner.html}</{name}>", inner.text, inner.data)


def sentence(text: Cell, kind: str = "") -> Shown:
    """Return a paragraph; `kind` is "note", "banner" or nothing."""
    return element("p", text, kind)


def badge(word: str, text: str = "") -> Shown:
    """Return a verdict's word in its colour, or another text for it."""
    return element("span", text or word, f"verdict {COLOURS.get(word, '')}".strip())


def folded(summary: str, content: Shown) -> Shown:
    """Return something behind one click: the data of a figure, a long table."""
    return Shown(f'<details class="data">\n<summary>{html.escape(summary)}</summary>\n{content.html}\n</details>', content.text)


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], foot: Sequence[Cell] = ()) -> Shown:
    """Return a table: a caption, a heading per column, the first cell of each row as its heading.

    A column that holds nothing but numbers is aligned on the right.
    """
    heading, body, last = ([[phrase(cell) for cell in row] for row in part] for part in ([head], rows, [foot] if foot else []))
    numbers = [_is_number([cell.text for cell in column]) for column in zip(*body, *last, strict=True)] or [False] * len(head)
    lines = heading + body + last
    widths = [max(len(cell.text) for cell in column) for column in zip(*lines, strict=True)]
    text = ["  ".join(cell.text.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    cells = {"heading": heading, "body": body, "last": last, "numbers": numbers, "longest": _LINE}
    return Shown(_TABLE.render(caption=html.escape(caption), **cells), "\n".join([caption, *text]))


def _is_number(column: Sequence[str]) -> bool:
    texts = list(filter(None, column))
    return bool(texts) and all(_NUMBER.fullmatch(text) for text in texts)
