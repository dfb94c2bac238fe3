"""HTML for a page and plain text for a terminal: tables, sentences and banners, everything escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

OFFLINE = "Offline sample, not MNIST"  # in every figure, table and page of a run without MNIST

_NUMBER = re.compile(r"[+−-]?\d[\d.,]*( ± [\d.,]+)?( of [\d,]+)?( ?(%|M|px|s|points))?")


_LINE = 34  # characters of a cell that may stand in one line


@dataclass(frozen=True)
class Shown:
    """What a report function returns: Jupyter shows the HTML, a terminal the text.

    `data` holds outputs for programs, by mimetype; they are stored in the notebook and are not shown.
    """

    html: str
    text: str
    data: dict[str, dict[str, Any]] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return self.html

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Return everything that a notebook stores, by mimetype."""
        return {"text/html": self.html, "text/plain": self.text, **self.data}

    def __repr__(self) -> str:
        """Return what a terminal shows."""
        return self.text


Cell = str | Shown


def together(parts: Iterable[Shown]) -> Shown:
    """Return several things, one below the other."""
    parts = list(parts)
    data = {mimetype: value for part in parts for mimetype, value in part.data.items()}
    return Shown("\n".join(part.html for part in parts), "\n\n".join(part.text for part in parts), data)


def phrase(text: str) -> Shown:
    """Return a text, escaped."""
    return Shown(html.escape(text), text)


def element(name: str, content: Cell, kind: str = "") -> Shown:
    """Return a text or what is shown already in an HTML element, with a class where one is given."""
    inner = content if isinstance(content, Shown) else phrase(content)
    attribute = f' class="{html.escape(kind)}"' if kind else ""
    return Shown(f"<{name}{attribute}>{inner.html}</{name}>", inner.text, inner.data)


def sentence(text: Cell, kind: str = "") -> Shown:
    """Return a paragraph; `kind` is "note", "banner" or nothing."""
    return element("p", text, kind)


def badge(kind: str, text: str = "") -> Shown:
    """Return a verdict's word: shown, reached, missed, kept, broken, supported or refuted."""
    return element("span", text or kind, f"verdict {kind}")


def folded(summary: str, content: Shown) -> Shown:
    """Return something behind one click: the data of a figure, a long table."""
    return Shown(f'<details class="data">\n<summary>{html.escape(summary)}</summary>\n{content.html}\n</details>', content.text)


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], foot: Sequence[Cell] | None = None, dataset: str = "mnist"
) -> Shown:
    """Return a table: a caption, a heading per column, the first cell of each row as its heading.

    A column that holds nothing but numbers lines up on the right. `dataset` "digits" puts the offline sample's warning first.
    """
    caption = f"{OFFLINE}. {caption}" if dataset == "digits" else caption
    lines = [[cell if isinstance(cell, Shown) else phrase(cell) for cell in row] for row in rows]
    last = [[cell if isinstance(cell, Shown) else phrase(cell) for cell in foot]] if foot else []
    numbers = [_is_number(column) for column in zip(*lines, *last, strict=True)] or [False] * len(head)
    header = "".join(f'<th scope="col"{_class(number)}>{html.escape(text)}</th>' for text, number in zip(head, numbers, strict=True))
    parts = [f"<caption>{html.escape(caption)}</caption>", f"<thead><tr>{header}</tr></thead>"]
    parts += [f"<tbody>\n{_rows(lines, numbers)}\n</tbody>"]
    parts += [f"<tfoot>\n{_rows(last, numbers)}\n</tfoot>"] if last else []
    text = _aligned([list(head), *([cell.text for cell in row] for row in lines + last)])
    return Shown('<table class="figures">\n' + "\n".join(parts) + "\n</table>", f"{caption}\n{text}")


def _is_number(column: Sequence[Shown]) -> bool:
    """Say whether all of a column's cells that say something are numbers."""
    texts = [cell.text for cell in column if cell.text]
    return bool(texts) and all(_NUMBER.fullmatch(text) for text in texts)


def _class(number: bool, text: str = "") -> str:
    """Return the attribute of a cell in a column of numbers, or of one with words enough to need several lines."""
    return ' class="number"' if number else ' class="words"' if len(text) > _LINE else ""


def _rows(lines: Sequence[Sequence[Shown]], numbers: Sequence[bool]) -> str:
    """Return table rows as HTML."""
    return "\n".join(
        f'<tr><th scope="row"{_class(numbers[0], row[0].text)}>{row[0].html}</th>'
        + "".join(f"<td{_class(number, cell.text)}>{cell.html}</td>" for cell, number in zip(row[1:], numbers[1:], strict=True))
        + "</tr>"
        for row in lines
    )


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return rows of text with their columns under each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in lines)
