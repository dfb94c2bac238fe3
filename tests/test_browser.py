"""Every committed page in a real browser: axe, console, requests, widths, print, links; the buttons that the page's program adds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import browser
import numpy as np
import pytest
import screenshots
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from mnistlib import files

REPORTS = files.root() / "reports"
PAGES = sorted(path.relative_to(REPORTS).as_posix() for path in REPORTS.rglob("*.html"))
LOOKS = ((1200, "light"), (390, "dark"))  # each width and each palette: no rule is of both, and contrast takes seconds
BRIEF = {"resultTypes": ["violations"]}  # no list of what is right, which takes three times as long
OPEN = "for (const each of document.querySelectorAll('details')) each.open = true"
PLAIN = """for (const listing of document.querySelectorAll('.highlight pre')) {
    const seen = new Set()
    for (const token of listing.querySelectorAll('span[class]')) {
        const look = `${token.className} in ${token.parentElement.tagName} ${token.parentElement.className}`
        if (!token.children.length && seen.has(look)) token.replaceWith(token.textContent)
        else seen.add(look)
    }
}"""  # tokens of one class look alike: in each listing axe meets the first of them, and takes half the time
WIDEST = "[...document.querySelectorAll('tbody th')].map(cell => [getComputedStyle(cell).position, cell.getBoundingClientRect().width])"


@pytest.fixture(scope="module")
def chrome(tmp_path_factory) -> Iterator[Browser]:
    """Return one browser for all tests of a worker."""
    shared = tmp_path_factory.getbasetemp().parent
    with browser.opened(browser.chromium(shared)) as opened:
        yield opened


@pytest.fixture
def tab(chrome) -> Iterator[Page]:
    """Return a new tab, which must end without an error, a message or a request."""
    context = chrome.new_context()
    page = context.new_page()
    wrong = browser.watched(page)
    yield page
    context.close()
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_in_light_and_dark_and_on_a_phone(tab, name):
    for width, colours in LOOKS:
        tab.set_viewport_size({"width": width, "height": 900})
        tab.emulate_media(color_scheme=colours)
        tab.goto((REPORTS / name).as_uri())
        tab.evaluate(OPEN)
        tab.evaluate(PLAIN)
        found = Axe().run(tab, options=BRIEF).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"][:120], len(each["nodes"])) for each in found] == [], (width, colours)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_small_phone_and_the_paper(tab, name):
    for width in (360, 390):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.goto((REPORTS / name).as_uri())
        tab.evaluate(OPEN)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
        sticky = [wide for position, wide in tab.evaluate(WIDEST) if position == "sticky"]
        assert not sticky or max(sticky) <= 0.4 * width, "the first column leaves no room for the others"
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 673, "height": 1000})  # A4 between its margins
    wide = tab.evaluate("[...document.querySelectorAll('table, figure')].filter(each => each.getBoundingClientRect().right > 690).length")
    assert wide == 0, "it is cut at the edge of the paper"


class Links(HTMLParser):
    """Collects where a page's links lead, and the names that can be led to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.names = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.names |= {given["id"]} if given.get("id") else set()
        self.links += [given["href"]] if tag == "a" and given.get("href") else []


def test_every_link_and_anchor_leads_somewhere():
    read = {path: Links(path) for path in REPORTS.rglob("*.html")}
    lost = []
    for path, page in read.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            missing = not target.is_file() or (
                parts.fragment and target in read and not {parts.fragment, unquote(parts.fragment)} & read[target].names
            )
            lost += [(path.name, link)] if missing or not target.is_relative_to(REPORTS) else []
    assert lost == []


def test_code_can_be_copied_and_a_figure_saved(tab):
    tab.goto((REPORTS / "00_skeleton.html").as_uri())
    listing = tab.locator(".listing .highlight").first
    button = listing.locator("button.copy")
    button.click()
    assert tab.evaluate("getSelection().toString()").startswith("def skeleton") and button.inner_text() in ("Copied", "Selected")
    for figure, end in ((tab.locator("figure:has(svg)").first, ".svg"), (tab.locator("figure:has(img)").first, ".png")):
        with tab.expect_download() as saved:
            figure.get_by_role("button", name="Save").click()
        assert saved.value.suggested_filename.endswith(end) and Path(saved.value.path()).stat().st_size > 1000


def test_the_contents_mark_the_section_in_view(tab):
    tab.goto((REPORTS / "00_skeleton.html").as_uri())
    tab.evaluate("document.getElementById('Result').scrollIntoView()")
    expect(tab.locator(".contents [aria-current]")).to_have_text("Result")


def test_figures_are_numbered_in_order_and_captioned():
    for name in PAGES:
        text = (REPORTS / name).read_text(encoding="utf-8")
        numbers = [int(number) for number in re.findall(r'<figure class="plot" id="figure-(\d+)">', text)]
        assert numbers == list(range(1, len(numbers) + 1)), name
        assert len(re.findall(r"<figcaption><b>Figure \d+\.</b> [^<]{20,}", text)) == len(numbers), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index.html", "draw.html", "published/index.html"])
def test_a_page_works_from_a_server_below_a_path(chrome, name):
    serve = partial(SimpleHTTPRequestHandler, directory=REPORTS.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        page, asked = chrome.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        address = f"http://127.0.0.1:{server.server_port}/reports/{name}"
        page.goto(address)
        links = page.eval_on_selector_all(
            "a[href]", "links => links.map(link => new URL(link.getAttribute('href').split('#')[0], location).href)"
        )
        assert asked == [address]
        for link in {link for link in links if link.startswith("http://127.0.0.1")}:
            assert page.request.head(link).ok, link
        page.close()
        server.shutdown()


@pytest.mark.slow
def test_the_pictures_show_the_pages_as_they_are(chrome, tmp_path):
    screenshots.make(chrome, tmp_path)
    for name in screenshots.PICTURES:
        now, committed = (np.asarray(Image.open(place / name).convert("L"), float) for place in (tmp_path, files.root() / "images"))
        assert now.shape == committed.shape and np.abs(now - committed).mean() < 12, f"{name}: make pictures"
