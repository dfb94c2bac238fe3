"""The style of every figure: its size, its colours, its alt text, and a small PNG with the same bytes each time."""

import base64
import html
import io
import re
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mnistlib.report import markup

WIDTH = 640  # of a figure on a page, CSS pixels; on a phone a little more than half of it is left, so text is large
SHARPNESS = 2  # pixels of the PNG per CSS pixel
_DPI = 200  # SHARPNESS times the hundred CSS pixels that an inch of a figure takes
_PALETTE = 64  # colours of a PNG: enough for grey digits and a few lines

# Okabe and Ito's colours, which people with any kind of colour vision can distinguish.
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#007a5a"
INK, FADED, RULE, PAPER = "#1f2328", "#5b636d", "#d9dde2", "#ffffff"
_VARIABLES = {BLUE: "--blue", ORANGE: "--orange", GREEN: "--green", INK: "--ink", FADED: "--soft", RULE: "--rule", PAPER: "--figure"}
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
    """A figure that a notebook shows with its alt text, its caption and its width: as a small PNG, or as SVG where it is `vector`."""

    alt, caption, vector = "", "", False
    tips: dict[str, str]  # texts that show where the pointer rests, by the ids of the parts they belong to

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        kind, data = ("image/svg+xml", self.svg()) if self.vector else ("image/png", base64.b64encode(self.png()).decode())
        about = {"alt": self.alt, "caption": self.caption or self.alt, "width": WIDTH, "inline": True}
        return {kind: data, "text/plain": self.alt}, {kind: about}

    def in_page(self, number: int = 1) -> str:
        """Return the figure as HTML, for a page that is no notebook's."""
        output = dict(zip(("data", "metadata"), self._repr_mimebundle_(), strict=True))
        return markup.vector(output, number) if self.vector else f"<img {markup.picture(output, 'image/png')}>"

    def png(self) -> bytes:
        """Return a PNG with a palette, a quarter of the usual size, without anything that changes from run to run."""
        whole, small = io.BytesIO(), io.BytesIO()
        with rc_context(_STYLE):
            self.savefig(whole, format="raw", dpi=_DPI)
        picture = Image.frombytes("RGBA", tuple(map(int, self.bbox.size)), whole.getvalue()).convert("RGB")
        picture.quantize(_PALETTE, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(small, format="PNG", optimize=True)
        return small.getvalue()

    def svg(self) -> str:
        """Return an SVG whose colours are the page's variables, so that it follows light and dark; tips show where the pointer rests."""
        whole, halos = io.StringIO(), {text: text.get_path_effects() for text in self.findobj(Text)}
        for text in halos:  # with a halo it would be drawn as outlines; the page's style gives it one
            text.set_path_effects([])
        with rc_context(_STYLE | {"svg.fonttype": "none", "svg.hashsalt": "mnistlib"}):
            self.savefig(whole, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        for text, halo in halos.items():
            text.set_path_effects(halo)
        text = whole.getvalue()[whole.getvalue().index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
        text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d)\d+", r"\1", tag[0]), text)  # tenths of a point are enough
        text = re.sub(r">\s+<", "><", text).replace("\n", " ").replace("; stroke-linecap: square", "")
        for gid, tip in self.tips.items():
            text = text.replace(f'<g id="{gid}">', f'<g class="tip"><title>{html.escape(tip)}</title>')
        named = r'(<title>([^<]*)</title>(?:(?!<title>).)*?<a )xlink:href="([^"]*)" target="_blank"'
        text = re.sub(named, r'\1aria-label="\2" href="\3"', text)  # a mark that is a link says where to
        referred = set(re.findall(r"#([\w-]+)", text))
        text = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in referred else "", text)
        for colour, name in _VARIABLES.items():
            text = text.replace(colour, f"var({name}, {colour})")
        role = "group" if "<a " in text else "img"
        head = f'<svg role="{role}" aria-label="{html.escape(self.alt)}" width="{WIDTH}"'
        return re.sub(r'<svg(.*?) width="[^"]*" height="[^"]*"', lambda match: head + match[1], text, count=1)

    def tip(self, artist: Artist, text: str, url: str | None = None) -> None:
        """Show a text where the pointer rests on a part of the figure, and make the part a link."""
        artist.set_url(url)
        artist.set_gid(f"tip-{len(self.tips)}")
        self.tips[artist.get_gid()] = text


def figure(height: float, vector: bool = False) -> ReportFigure:
    """Return an empty figure of the common width, `height` CSS pixels high, outside pyplot's global state."""
    made = ReportFigure(figsize=(WIDTH * SHARPNESS / _DPI, height * SHARPNESS / _DPI), dpi=_DPI, facecolor=PAPER)
    made.vector, made.tips = vector, {}
    return made


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
