"""The style of every figure: its size, its colours, its alt text, and a small PNG with the same bytes each time."""

import base64
import io
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

WIDTH = 640  # of a figure on a page, CSS pixels; on a phone a little more than half of it is left, so text is large
SHARPNESS = 2  # pixels of the PNG per CSS pixel
_DPI = 200  # SHARPNESS times the hundred CSS pixels that an inch of a figure takes
_PALETTE = 64  # colours of a PNG: enough for grey digits and a few lines

# Okabe and Ito's colours, which people with any kind of colour vision can distinguish.
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#007a5a"
INK, FADED, RULE, PAPER = "#1f2328", "#5b636d", "#d9dde2", "#ffffff"
NORMAL, SMALL = 12, 11  # points

_STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs everywhere
    "font.size": NORMAL,
    "text.color": INK,
    "axes.edgecolor": FADED,
    "axes.labelcolor": INK,
    "axes.labelsize": NORMAL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": FADED,
    "ytick.color": FADED,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


class ReportFigure(Figure):
    """A figure that a notebook shows as a small PNG with its alt text and its width on the page."""

    alt = ""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        data = {"image/png": base64.b64encode(self.png()).decode(), "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt, "width": WIDTH}}

    def png(self) -> bytes:
        """Return a PNG with a palette, a quarter of the usual size, without anything that changes from run to run."""
        whole, small = io.BytesIO(), io.BytesIO()
        with rc_context(_STYLE):
            self.savefig(whole, format="png", dpi=_DPI, metadata={"Software": None})
        picture = Image.open(whole).convert("RGB").quantize(_PALETTE, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        picture.save(small, format="PNG", optimize=True)
        return small.getvalue()


def figure(height: float) -> ReportFigure:
    """Return an empty figure of the common width, `height` CSS pixels high, outside pyplot's global state."""
    return ReportFigure(figsize=(WIDTH * SHARPNESS / _DPI, height * SHARPNESS / _DPI), dpi=_DPI, facecolor=PAPER)


def panel(made: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes whose box is given in CSS pixels from the figure's upper left corner: equal boxes give equal axes in every step."""
    total = made.get_figheight() * _DPI / SHARPNESS
    with rc_context(_STYLE):
        return made.add_axes((left / WIDTH, 1 - (top + height) / total, width / WIDTH, height / total))


def sheet(height: float, scale: int) -> tuple[ReportFigure, Axes]:
    """Return a figure that is all one plain drawing area, `height` of its own pixels high, each `scale` by `scale` pixels of the PNG.

    An image drawn at whole coordinates then keeps its pixels square and equal.
    """
    made = figure(height * scale / SHARPNESS)
    area = panel(made, 0, 0, WIDTH, height * scale / SHARPNESS)
    area.set(xlim=(0, WIDTH * SHARPNESS / scale), ylim=(height, 0))
    area.axis("off")
    return made, area


def title(axes: Axes, left: str, right: str = "") -> None:
    """Write what axes show above them, and a remark on the right."""
    axes.set_title(left, loc="left", fontsize=NORMAL, fontweight="bold", pad=10)
    axes.set_title(right, loc="right", fontsize=SMALL, color=FADED, pad=10)
