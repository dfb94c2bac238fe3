"""Tables of a piece of HTML, read back."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class Tables(HTMLParser):
    """Reads the tables of a piece of HTML: captions, classes, and every cell with its name, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.captions, self.rows, self.cells, self.classes, self.stack = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.stack.append(tag)
        if tag == "table":
            self.classes.append(dict(attrs).get("class"))
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            self.cells.append((tag, dict(attrs)))
        if tag == "caption":
            self.captions.append("")

    def handle_data(self, text: str) -> None:
        if "caption" in self.stack:
            self.captions[-1] += text
        elif "th" in self.stack or "td" in self.stack:
            self.rows[-1][-1] += text

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.stack.pop(), f"</{tag}> ends something else"


def rows(shown: Any) -> dict[str, list[str]]:
    """Return a table's rows by their headings."""
    return {row[0]: row[1:] for row in Tables(shown.html).rows}
