"""The pictures of pages in images/, and what the drawing page weighs and how soon it is ready: make pictures."""

import io
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import browser
from PIL import Image
from playwright.sync_api import Browser, Page

from mnistlib import files
from mnistlib.runs import provenance

REPORTS = files.root() / "reports"
SEVEN = [[(0.3, 0.25), (0.5, 0.23), (0.7, 0.25), (0.6, 0.48), (0.5, 0.65), (0.45, 0.85)]]
PICTURES = {"overview.png": "index.html", "report.png": "04_frontier.html", "draw.png": "draw.html"}
SIZE = {"width": 1_000, "height": 760}
RECORD = "draw.json"
TIMES = 5  # that the drawing page is opened


def draw(tab: Page, strokes: list[list[tuple[float, float]]], steps: int = 4) -> None:
    """Draw strokes with the mouse, points as fractions of the paper's sides."""
    box = tab.locator("#paper").bounding_box()
    for stroke in strokes:
        points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in stroke]
        tab.mouse.move(*points[0])
        tab.mouse.down()
        for point in points[1:]:
            tab.mouse.move(*point, steps=steps)
        tab.mouse.up()


def make(chrome: Browser, folder: Path) -> None:
    """Write the first screen of each page into a folder as a picture."""
    tab = chrome.new_page(viewport=SIZE, color_scheme="light")
    for name, page in PICTURES.items():
        tab.goto((REPORTS / page).as_uri())
        if page == "draw.html":
            draw(tab, SEVEN)
            tab.locator("#places-note", has_text=".").wait_for()
            tab.evaluate("scrollTo(0, document.getElementById('tool').offsetTop - 16)")
        Image.open(io.BytesIO(tab.screenshot())).convert("RGB").quantize(128).save(folder / name, optimize=True)
    tab.close()


def measure(chrome: Browser) -> dict[str, object]:
    """Return the bytes of the drawing page and the milliseconds until it is ready, the median of some visits."""
    ready = []
    for _ in range(TIMES):
        tab = chrome.new_page()
        tab.goto((REPORTS / "draw.html").as_uri())
        ready.append(int(tab.evaluate("document.documentElement.dataset.ready")))
        tab.close()
    weight = (REPORTS / "draw.html").stat().st_size
    about = {"browser": f"Chromium {chrome.version}", "cpu": provenance.cpu(), "system": platform.system()}
    return {"bytes": weight, "ready_milliseconds": statistics.median(ready), "visits": TIMES} | about


def main() -> None:
    """Make the pictures and the record."""
    with browser.opened(browser.chromium(Path(tempfile.gettempdir()))) as chrome:
        make(chrome, files.root() / "images")
        files.write(files.root() / "images" / RECORD, files.to_text(measure(chrome)))


if __name__ == "__main__":
    sys.exit(main())
