"""The pages that explain the others: glossary, references, and those written in Markdown: lesson, protocol, model card."""

import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from mnistlib import files
from mnistlib.report import markup, page
from website import site

ABOUT = {
    "glossary": "The terms of these reports, each in a few plain sentences.",
    "references": "The papers and data that these reports build on, and how to cite them.",
    "lesson": "Three exercises that teach how to tell a real improvement from luck, for a class or alone.",
    "protocol": "What these reports measure, how, and when they call a difference significant.",
    "weights/index": "The nets to use elsewhere, as safetensors and ONNX: how to run them, how accurate they are, where they may fail.",
}
MARKDOWN = {"lesson": "docs/teaching.md", "protocol": "docs/protocol.md", "weights/index": "reports/weights/README.md"}


def build(reports: Path) -> None:
    """Write every page into `reports`; the model card's text must be there."""
    for name in ABOUT:
        files.write(reports / f"{name}.html", text(name))


def text(name: str) -> str:
    """Return the text of one of the pages."""
    markdown = (files.root() / MARKDOWN[name]).read_text(encoding="utf-8") if name in MARKDOWN else ""
    title = site.PAGES.get(name) or page.headings(markdown, 1)[0]
    around = site.of({name: title}, name)
    values = {"name": name, "title": title, "about": ABOUT[name], "site": around, "facts": [page.BYLINE]}
    if markdown:
        story = article(markdown, name)
        return around.finish(page.render("article.html.j2", site.FOLDER, story=story, outline=markup.outline(story), **values))
    values |= {"glossary": site.glossary(), "references": references(), "citation": site.citation()}
    return site.dated(page.render(f"{name}.html.j2", site.FOLDER, **values))


def references() -> dict[str, dict[str, Any]]:
    """Return what the reports build on, by a key of author and year."""
    return yaml.safe_load((site.FOLDER / "references.yaml").read_text(encoding="utf-8"))


def article(markdown: str, name: str) -> str:
    """Return a Markdown text as the HTML of a page, without its front matter; HTML in it is escaped."""
    prose = re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL)
    return markup.dress(MarkdownWithMath(_Renderer(name)).render(prose))


def address(link: str, name: str) -> str:
    """Return where a link in the Markdown of a page leads from the page; "" where only a published repository would have it."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or not parts.path:
        return link
    end = f"#{parts.fragment}" if parts.fragment else ""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(MARKDOWN[name]), parts.path))
    target = next((f"reports/{page_name}.html" for page_name, source in MARKDOWN.items() if source == target), target)
    if target.startswith("reports/") and (target.endswith(".html") or (files.root() / target).is_file()):
        return posixpath.relpath(target, posixpath.dirname(f"reports/{name}")) + end
    return site.address() and f"{site.address()}/blob/main/{target}{end}"


class _Renderer(IPythonRenderer):
    def __init__(self, name: str) -> None:
        super().__init__(escape=True, allow_harmful_protocols=False)
        self.page_name = name

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        anchor = re.sub(r"[^\w -]", "", re.sub(r"<[^>]*>", "", text)).lower().replace(" ", "-")  # as GitHub names it
        return f'<h{level} id="{anchor}">{text}<a class="anchor-link" href="#{anchor}">#</a></h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        leads = address(url, self.page_name)
        return super().link(text, leads, title) if leads else text

    def block_mermaidjs(self, code: str) -> str:
        return self.block_code(code)  # escaped as all code is
