"""Figures on a page, and a live curve while a notebook trains."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from IPython import get_ipython
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure

from mnistlib.report import figure_style, html, plots
from mnistlib.report.plots import About
from mnistlib.runs.progress import Progress
from mnistlib.runs.storage import MEASURED, History

_REST = 20  # a live curve is drawn again after this many times as long as drawing it took: training comes first


@dataclass(frozen=True)
class Picture:
    """A figure as a notebook keeps it: a small PNG with its alt text and its width on the page."""

    png: bytes
    alt: str
    width: int  # CSS pixels

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the PNG and its alt text, and what a page needs to show them."""
        data = {"image/png": base64.b64encode(self.png).decode(), "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt, "width": self.width}}

    def __repr__(self) -> str:
        """Return the alt text."""
        return self.alt


def figure(drawn: Figure, about: About) -> Picture:
    """Return a figure ready to be displayed, stamped where it shows the offline sample."""
    if about.dataset == "digits":
        figure_style.stamp(drawn, html.OFFLINE)
    return Picture(figure_style.png(drawn), figure_style.alt(drawn), figure_style.WIDTH)


def interactive() -> bool:
    """Say whether someone is looking: a front end that could ask for input, as papermill and nbconvert cannot."""
    return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))


class Live:
    """Curves that grow while a notebook trains: `trials.fit(…, on_epoch=report.live(mnist))`.

    There is one output, drawn again and again; without anyone looking there is none.
    """

    def __init__(self, about: About) -> None:
        self.about, self.again = about, 0.0
        self.handle: DisplayHandle | None = None

    def __call__(self, so_far: Sequence[Progress]) -> None:
        """Draw what was measured so far, unless that was done a moment ago."""
        last = so_far[-1]
        if not interactive() or (time.monotonic() < self.again and last.left > 0):
            return
        clock = time.monotonic()
        picture = figure(plots.curves(so_far_by_seed(so_far), self.about), self.about)
        if self.handle is None:
            self.handle = display(picture, display_id=True)
        else:
            self.handle.update(picture)
        self.again = time.monotonic() + _REST * (time.monotonic() - clock)


def so_far_by_seed(so_far: Sequence[Progress]) -> list[History]:
    """Return one history per seed; epochs from before a resumed run began are NaN."""
    histories: dict[int, History] = {}
    for line in so_far:
        values = histories.setdefault(line.seed, History())
        for name in MEASURED:
            figures = getattr(values, name)
            figures.extend([math.nan] * (line.epoch - 1 - len(figures)))
            figures.append(getattr(line, name))
    return [histories[seed] for seed in sorted(histories)]
