"""The figure of the published models: what each claim is made of, from the chosen epoch of a chosen seed down to the mean of all."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

from mnistlib import formatting
from mnistlib.published import site_scale, tables
from mnistlib.published.replication import Standing
from mnistlib.published.site_scale import Scale
from mnistlib.recipe import MIN_ACCURACY

WIDTH = 760  # pixels of the figure as a file; on a page it takes the width that there is
TOP, ROW, AXIS = 34, 56, 32  # pixels: the target's label, a model, the axis
LEFT, RIGHT = 1.2, 98.8  # percent of the width between which the axis lies, so that marks at its ends stay whole

STYLE = """
.ladder { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums }
.ladder text { fill: var(--ink, #1e2126); paint-order: stroke; stroke: var(--paper, #fff); stroke-width: 4px }
.ladder .soft { fill: var(--soft, #5a606b) }
.ladder .name { font-weight: 600 }
.ladder .grid { stroke: var(--rule, #e2dfd8) }
.ladder .target { stroke: var(--good, #17663a); stroke-width: 1.5; stroke-dasharray: 5 4 }
.ladder .goal { fill: var(--good, #17663a) }
.ladder .claim { fill: var(--paper, #fff); stroke: var(--mark, #c2410c); stroke-width: 2 }
.ladder .path { stroke: var(--soft, #5a606b); stroke-width: 1 }
.ladder .best { fill: var(--paper, #fff); stroke: var(--link, #0a5796); stroke-width: 2 }
.ladder .last { fill: var(--link, #0a5796) }
.ladder .interval { stroke: var(--link, #0a5796); stroke-width: 9; opacity: .25 }
.ladder .mean { stroke: var(--link, #0a5796); stroke-width: 3 }
"""
LEGEND = (
    ("claim", "claimed: one run, its best epoch chosen on the test set (of Model_3 of assignment-7: at least so much in the last epochs)"),
    ("best", "best epoch of our luckiest seed, chosen on the test set"),
    ("last", "that seed's last epoch"),
    ("mean", "mean of the seeds' last epochs and its interval"),
)


def alt(standings: Sequence[Standing]) -> str:
    """Return the figure in words, model by model."""
    said = [
        f"{each.row.name}: claimed {tables.said(each.row.claim, each.row.claim.headline)}, best epoch {formatting.percent(each.best)}, "
        f"its last epoch {formatting.percent(each.its_last)}, mean {formatting.percent(each.mean)}"
        for each in standings
    ]
    return "What each claim is made of, a row per model. " + "; ".join(said) + "."


def inline(standings: Sequence[Standing]) -> str:
    """Return the figure as SVG for a page: as wide as there is room, its text at the size of the page's."""
    return _svg(standings, f'width="100%" height="{_height(standings)}"', "")


def file(standings: Sequence[Standing]) -> str:
    """Return the figure as an SVG file of its own, drawn on white."""
    height = _height(standings)
    size = f'xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" viewBox="0 0 {WIDTH} {height}"'
    behind = f'<style>{STYLE}</style>\n<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    return _svg(standings, size, behind) + "\n"


def _height(standings: Sequence[Standing]) -> int:
    """Return the height of the drawing in pixels."""
    return TOP + ROW * len(standings) + AXIS


def _svg(standings: Sequence[Standing], size: str, behind: str) -> str:
    """Return the drawing."""
    axis = site_scale.around([value for each in standings for value in (*_marks(each), *each.result.summary.interval)] + [MIN_ACCURACY])

    def x(accuracy: float) -> str:
        return f"{LEFT + (RIGHT - LEFT) * axis.share(accuracy):.2f}%"

    bottom = TOP + ROW * len(standings)
    parts = [f'<svg class="ladder" role="img" aria-label="{html.escape(alt(standings))}" {size}>', behind]
    parts += _axis(axis, x, bottom)
    for place, each in enumerate(standings):
        parts += _row(each, x, TOP + ROW * place)
    return "\n".join([*parts, "</svg>"])


def _marks(each: Standing) -> list[float]:
    """Return what a row shows beside its interval."""
    return [each.row.claim.headline, each.best, each.its_last, each.mean]


def legend() -> str:
    """Return what the marks mean, as a list for a page."""
    items = [f'<li><svg class="ladder" aria-hidden="true">{_mark(kind, "9", 9)}</svg>{text}</li>' for kind, text in LEGEND]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _axis(axis: Scale, x: Callable[[float], str], bottom: int) -> list[str]:
    """Return grid, ticks and target."""
    parts = []
    for tick in axis.ticks:
        anchor = "start" if tick == axis.low else "end" if tick == axis.high else "middle"
        odd = " odd" if round(tick * 1000) % 10 and round(tick * 1000) != 994 else ""  # left out where there is little room
        parts.append(f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="soft{odd}" x="{x(tick)}" y="{bottom + 20}" text-anchor="{anchor}">{formatting.percent(tick, 1)}</text>')
    target = x(MIN_ACCURACY)
    parts.append(f'<line class="target" x1="{target}" x2="{target}" y1="{TOP - 8}" y2="{bottom}"/>')
    anchor = "end" if axis.share(MIN_ACCURACY) > 0.5 else "start"
    parts.append(f'<text class="goal" x="{target}" y="{TOP - 14}" text-anchor="{anchor}">target {formatting.percent(MIN_ACCURACY)}</text>')
    return parts


def _row(each: Standing, x: Callable[[float], str], top: int) -> list[str]:
    """Return one model's row: its name and figures above, the marks below."""
    middle, (low, high) = top + 40, each.result.summary.interval
    figures = f"claimed {tables.said(each.row.claim, each.row.claim.headline)}, mean {formatting.percent(each.mean)}"
    name = f"{each.row.title}, {each.row.system.partition('/')[2]}" + (" (steered by the test images)" if each.leaks else "")
    steps = [each.row.claim.headline, each.best, each.its_last, each.mean]
    heights = [middle - 9, middle - 3, middle + 3, middle + 9]
    parts = [
        f'<text class="name" x="{LEFT}%" y="{top + 20}">{html.escape(name)}</text>',
        f'<text class="soft spare" x="{RIGHT}%" y="{top + 20}" text-anchor="end">{figures}</text>',
        f'<line class="interval" x1="{x(low)}" x2="{x(high)}" y1="{middle + 9}" y2="{middle + 9}"/>',
    ]
    parts += [f'<line class="path" x1="{x(steps[k])}" x2="{x(steps[k + 1])}" y1="{heights[k]}" y2="{heights[k + 1]}"/>' for k in range(3)]
    parts += [_mark(kind, x(value), height) for (kind, _), value, height in zip(LEGEND, steps, heights, strict=True)]
    return parts


def _mark(kind: str, x: str, y: float) -> str:
    """Return one mark: a square, a ring, a dot or a bar."""
    if kind == "mean":
        return f'<line class="mean" x1="{x}" x2="{x}" y1="{y - 7}" y2="{y + 7}"/>'
    if kind == "claim":
        square = '<rect class="claim" x="-4.5" y="-4.5" width="9" height="9" transform="rotate(45)"/>'
        return f'<svg x="{x}" y="{y}" overflow="visible">{square}</svg>'
    return f'<circle class="{kind}" cx="{x}" cy="{y}" r="4.5"/>'
