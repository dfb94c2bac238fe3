"""The house style of every figure: size, colours, alt text, the offline sample's stamp, and a small PNG with the same bytes each time."""

from __future__ import annotations

import io

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

WIDTH = 640  # of a figure on a page, CSS pixels; on a phone a little more than half of it is left, so text is large
SHARPNESS = 2  # pixels of the PNG per CSS pixel
_DPI = 200  # SHARPNESS times the hundred CSS pixels that an inch of a figure takes
_STAMP = 0.34  # inches that a stamp adds at the top
_PALETTE = 64  # colours of a PNG: enough for grey digits and a few lines

# Okabe and Ito's colours, told apart by all kinds of colour vision.
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#007a5a"
INK, FADED, RULE, PAPER = "#1f2328", "#5b636d", "#d9dde2", "#ffffff"
ALARM = "#a84300"  # behind white text
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


def figure(height: float) -> Figure:
    """Return an empty figure of the house's width, `height` CSS pixels high, free of pyplot's state."""
    made = Figure(figsize=(WIDTH * SHARPNESS / _DPI, height * SHARPNESS / _DPI), dpi=_DPI, facecolor=PAPER)
    FigureCanvasAgg(made)
    return made


def panel(made: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes whose box is given in CSS pixels from the figure's upper left corner: equal boxes give equal axes in every step."""
    total = made.get_figheight() * _DPI / SHARPNESS
    with rc_context(_STYLE):
        return made.add_axes((left / WIDTH, 1 - (top + height) / total, width / WIDTH, height / total))


def sheet(height: float, scale: int) -> tuple[Figure, Axes]:
    """Return a figure that is all one plain drawing area, `height` of its own pixels high, each `scale` by `scale` pixels of the PNG.

    An image drawn at whole coordinates then keeps its pixels square and equal.
    """
    made = figure(height * scale / SHARPNESS)
    area = panel(made, 0, 0, WIDTH, height * scale / SHARPNESS)
    area.set(xlim=(0, WIDTH * SHARPNESS / scale), ylim=(height, 0))
    area.axis("off")
    return made, area


def describe(made: Figure, text: str) -> Figure:
    """Give a figure its alt text and return it."""
    made.set_label(text)
    return made


def alt(made: Figure) -> str:
    """Return a figure's alt text."""
    return made.get_label()


def stamp(made: Figure, text: str) -> Figure:
    """Say something across the top of a figure, which grows for it, and in its alt text; a figure is stamped once with one text."""
    if alt(made).startswith(text):
        return made
    before = made.get_figheight()
    share = before / (before + _STAMP)
    made.set_figheight(before + _STAMP)
    for axes in made.axes:
        box = axes.get_position(original=True)
        axes.set_position((box.x0, box.y0 * share, box.width, box.height * share))
    made.add_artist(Rectangle((0, share), 1, 1 - share, transform=made.transFigure, color=ALARM, linewidth=0))
    made.text(0.5, (1 + share) / 2, text, color=PAPER, fontsize=NORMAL, fontweight="bold", ha="center", va="center_baseline")
    return describe(made, f"{text}. {alt(made)}")


def png(made: Figure) -> bytes:
    """Return a figure as a PNG with a palette, a quarter of the usual size, and nothing in it that changes from run to run."""
    whole = io.BytesIO()
    with rc_context(_STYLE):
        made.savefig(whole, format="png", dpi=_DPI, metadata={"Software": None})
    picture = Image.open(whole).convert("RGB").quantize(_PALETTE, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small = io.BytesIO()
    picture.save(small, format="PNG", optimize=True)
    return small.getvalue()
