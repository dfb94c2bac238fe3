"""Tables, sentences and verdicts as HTML for a page and as plain text for a terminal, everything escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

COLOURS = {  # the class of a verdict's word in style.css
    **dict.fromkeys(("significantly above", "within", "all", "supported", "reached"), "good"),
    **dict.fromkeys(("at or above", "inconclusive"), "fair"),
    **dict.fromkeys(("below", "over", "not all", "refuted", "missed"), "bad"),
}
_NUMBER = re.compile(r"[+−-]?\d[\d.,]*%?( \(sd [\d.,]+\))?( of [\d,]+)?( ?(%|M|px|s|points))?")
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
        """Return everything that a notebook stores, by mimetype."""
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
    lines = [[phrase(cell) for cell in row] for row in rows]
    last = [[phrase(cell) for cell in foot]] if foot else []
    numbers = [_is_number(column) for column in zip(*lines, *last, strict=True)] or [False] * len(head)
    header = "".join(f'<th scope="col"{_class(number)}>{html.escape(text)}</th>' for text, number in zip(head, numbers, strict=True))
    parts = [f"<caption>{html.escape(caption)}</caption>", f"<thead><tr>{header}</tr></thead>", _rows("tbody", lines, numbers)]
    parts += [_rows("tfoot", last, numbers)] if last else []
    text = _aligned([list(head), *([cell.text for cell in row] for row in lines + last)])
    return Shown('<table class="figures">\n' + "\n".join(parts) + "\n</table>", f"{caption}\n{text}")


def _is_number(column: Sequence[Shown]) -> bool:
    """Return whether all cells of a column that are not empty are numbers."""
    texts = [cell.text for cell in column if cell.text]
    return bool(texts) and all(_NUMBER.fullmatch(text) for text in texts)


def _class(number: bool, text: str = "") -> str:
    """Return the class of a cell in a column of numbers, or of one whose text needs several lines."""
    return ' class="number"' if number else ' class="words"' if len(text) > _LINE else ""


def _rows(part: str, lines: Sequence[Sequence[Shown]], numbers: Sequence[bool]) -> str:
    """Return the rows of a table's body or foot."""
    rows = []
    for first, *others in lines:
        cells = [f'<th scope="row"{_class(numbers[0], first.text)}>{first.html}</th>']
        cells += [f"<td{_class(number, cell.text)}>{cell.html}</td>" for cell, number in zip(others, numbers[1:], strict=True)]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<{part}>\n" + "\n".join(rows) + f"\n</{part}>"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return rows of text with their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in lines)
