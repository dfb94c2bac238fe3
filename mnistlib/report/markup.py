"""What the templates do to HTML: pictures with alt text, tables in their own box, headings, and a check for addresses."""

import base64
import hashlib
import html
import re
import struct
from collections import Counter
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

UNDESCRIBED = "A figure to which the notebook gives no description."
_MANY = 7  # columns: more need smaller letters on paper
_HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)<a class="anchor-link"', re.DOTALL)
_TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)
_CAPTION = re.compile(r"<caption\b([^>]*)>(.*?)</caption>", re.DOTALL)
_UNSCOPED = re.compile(r"<th\b(?![^>]*\bscope=)")
_ADDRESS = re.compile(r"""url\(\s*['"]?([^'")]*)|@import\s+['"]([^'"]*)""")
_LOADING = {"src", "srcset", "poster", "background", "data", "action", "formaction", "manifest", "ping", "xlink:href"}
POLICY = "content-security-policy"  # the one `http-equiv` that neither loads nor leaves
_REFUSED = {"base", "script", "iframe", "frame", "object", "embed", "form"}  # elements that load, run or leave the page


def script_hash(program: str) -> str:
    """Return the hash by which a page's policy allows a program."""
    return f"sha256-{base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()}"


def picture(output: Mapping[str, Any], kind: str) -> str:
    """Return the attributes of an `img` that holds a picture of an output: source, alt text, width and height."""
    data = output["data"][kind]
    metadata = output.get("metadata", {}).get(kind, {})
    encoded = base64.b64encode(data.encode()).decode() if kind == "image/svg+xml" else "".join(data.split())
    attributes = {"src": f"data:{kind};base64,{encoded}", "alt": metadata.get("alt") or UNDESCRIBED}
    if kind == "image/png":
        width, height = struct.unpack(">II", base64.b64decode(encoded[:32])[16:24])
        shown = metadata.get("width") or width
        attributes |= {"width": str(round(shown)), "height": str(round(shown * height / width))}
    return " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())


def vector(output: Mapping[str, Any], number: int) -> str:
    """Return an SVG of an output to stand in a page as its figure of a number; its names are its own there."""
    return re.sub(r'((?:\bid="|href="#|url\(#))', rf"\1f{number}-", output["data"]["image/svg+xml"])


def alone(page: str) -> str:
    """Return a page without its links to other pages, which are not there where it stands alone; their words stay."""
    return re.sub(r'<a href="[\w./]+\.html[^"]*">(.*?)</a>', r"\1", page, flags=re.DOTALL)


def first_line(cell: Mapping[str, Any]) -> str:
    """Return the first line of a cell's code that is neither empty nor papermill's heading."""
    return next((line for line in cell["source"].splitlines() if line.strip() and not line.startswith("# Parameters")), "")


def dress(story: str) -> str:
    """Give every table a box to scroll in and its header cells a scope, and keep one heading of the first level."""
    names: Counter[str] = Counter()
    story = _TABLE.sub(lambda match: _boxed(match[0], names), story)
    first, end, rest = story.partition("</h1>")
    return first + end + re.sub(r"(</?)h1\b", r"\1h2", rest)


def outline(story: str) -> list[dict[str, str]]:
    """Return anchor and text of every heading of the second level."""
    return [{"anchor": anchor, "text": _text(text)} for anchor, text in _HEADING.findall(story)]


def _boxed(table: str, names: Counter[str]) -> str:
    caption = _CAPTION.search(table)
    name = _text(caption[2]) if caption else "Table"
    names[name] += 1
    name += f", {names[name]}" if names[name] > 1 else ""  # no two regions of a page have one name
    head, end, body = _CAPTION.sub(r"<caption\1><span>\2</span></caption>", table).rpartition("</thead>")
    scoped = _UNSCOPED.sub('<th scope="col"', head) + end + _UNSCOPED.sub('<th scope="row"', body)
    wide = " wide" if head.count("<th") > _MANY else ""
    return f'<div class="scroll{wide}" role="region" aria-label="{html.escape(html.unescape(name))}" tabindex="0">{scoped}</div>'


def _text(content: str) -> str:
    return re.sub(r"<[^>]*>", "", content).strip()


def addresses(page: str) -> list[str]:
    """Return everything on a page that loads, runs or leaves it: an empty list for a page that stands alone."""
    reader = _Addresses()
    reader.feed(page)
    sheets = [*reader.styles, *re.findall(r"<style\b.*?(?:</style|$)", page, re.DOTALL | re.IGNORECASE)]
    found = reader.found + [address or imported for css in sheets for address, imported in _ADDRESS.findall(css)]
    return [address for address in found if address and not address.startswith(("data:", "#"))]


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in _REFUSED or (tag == "meta" and given.get("http-equiv", POLICY).lower() != POLICY):
            self.found.append(f"<{tag}>")
        self.found += [value for name, value in given.items() if name in _LOADING or (name == "href" and tag not in ("a", "area"))]
        self.styles.append(given.get("style", ""))
