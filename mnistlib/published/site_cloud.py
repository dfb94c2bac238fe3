"""Accuracy against parameters: the published models measured and claimed, the peers' claims, and the steps of the series."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence

from mnistlib import formatting
from mnistlib.published import site_scale, tables
from mnistlib.published.other_repos import PEERS
from mnistlib.published.replication import Standing
from mnistlib.recipe import MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.report.result import Result

HEIGHT, TOP, BOTTOM = 420, 16, 40  # pixels: the drawing, space above it, the axis below it
LEFT, RIGHT = 9.0, 98.0  # percent of the width between which the axis of parameters lies
WIDTH, LETTER, LINE = 920, 6.6, 14  # pixels: the width that labels are placed for, and of a label's letters; narrower, there are none
TICKS = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000)

STYLE = """
.cloud { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums }
.cloud text { fill: var(--ink, #1e2126); paint-order: stroke; stroke: var(--paper, #fff); stroke-width: 4px }
.cloud .label { fill: var(--soft, #5a606b); font-size: 12px }
@media (max-width: 50rem) { .cloud .label { display: none } }
.cloud .soft { fill: var(--soft, #5a606b) }
.cloud .grid { stroke: var(--rule, #e2dfd8) }
.cloud .limit { stroke: var(--good, #17663a); stroke-width: 1.5; stroke-dasharray: 5 4 }
.cloud .claim { fill: none; stroke: var(--mark, #c2410c); stroke-width: 1.6 }
.cloud .peer { stroke: var(--soft, #5a606b); stroke-width: 1.6 }
.cloud .row { fill: var(--link, #0a5796) }
.cloud .own { fill: var(--good, #17663a) }
.cloud .bar { stroke: var(--link, #0a5796); stroke-width: 1.6; opacity: .5 }
.cloud .own-bar { stroke: var(--good, #17663a); stroke-width: 1.6; opacity: .6 }
"""
LEGEND = (
    ("row", "published model, mean of seeds here, and its interval"),
    ("claim", "the same, as claimed: mostly its best epoch"),
    ("own", "step of this series, mean of seeds and its interval"),
    ("peer", "another repository, as claimed: best epoch"),
)


def alt(standings: Sequence[Standing], steps: Sequence[Result]) -> str:
    """Return the figure in words."""
    return (
        f"Accuracy against parameters: {formatting.count(len(standings))} published models as measured and as claimed, "
        f"{formatting.count(len(PEERS))} other repositories as claimed, and the {formatting.count(len(steps))} steps of this series."
    )


def inline(standings: Sequence[Standing], steps: Sequence[Result]) -> str:
    """Return the figure as SVG for a page."""
    measured = [(each.row.n_parameters, each.result) for each in standings] + [(step.n_parameters, step) for step in steps]
    values = [value for _, result in measured for value in (result.summary.final_mean, *result.summary.interval)]
    values += [each.row.claim.headline for each in standings] + [peer.best for peer in PEERS] + [MIN_ACCURACY]
    axis = site_scale.around(values)
    counts = [n for n, _ in measured] + [peer.n_parameters for peer in PEERS]
    low, high = math.log(min(*counts, TICKS[0])), math.log(max(*counts, TICKS[-1]))

    def x(n: float) -> str:
        return f"{LEFT + (RIGHT - LEFT) * (math.log(n) - low) / (high - low):.2f}%"

    def y(accuracy: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * axis.share(accuracy), 1)

    parts = [f'<svg class="cloud" role="img" aria-label="{html.escape(alt(standings, steps))}" width="100%" height="{HEIGHT}">']
    for tick in axis.ticks:
        parts.append(f'<line class="grid" x1="{LEFT}%" x2="{RIGHT}%" y1="{y(tick)}" y2="{y(tick)}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 1}%" y="{y(tick) + 5}" text-anchor="end">{formatting.percent(tick, 1)}</text>')
    for n in TICKS:
        parts.append(f'<text class="soft" x="{x(n)}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{formatting.count(n)}</text>')
    parts.append(f'<line class="limit" x1="{x(MAX_PARAMETERS)}" x2="{x(MAX_PARAMETERS)}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    parts.append(f'<line class="limit" x1="{LEFT}%" x2="{RIGHT}%" y1="{y(MIN_ACCURACY)}" y2="{y(MIN_ACCURACY)}"/>')
    for peer in PEERS:
        parts.append(_titled(_cross(x(peer.n_parameters), y(peer.best)), f"{peer.name}: claimed {formatting.percent(peer.best)}"))
    for each in standings:
        parts += _measured(each.row.n_parameters, each.result, f"{each.row.title}, {each.row.system}", "row", "bar", x, y)
        ring = f'<circle class="claim" cx="{x(each.row.n_parameters)}" cy="{y(each.row.claim.headline)}" r="4.5"/>'
        parts.append(_titled(ring, f"{each.row.title}, {each.row.system}: claimed {tables.said(each.row.claim, each.row.claim.headline)}"))
    for step in steps:
        parts += _measured(step.n_parameters, step, step.step, "own", "own-bar", x, y)
    named = [(peer.n_parameters, peer.best, peer.name.split("/")[-1]) for peer in PEERS]
    named += [(each.row.n_parameters, each.result.summary.final_mean, each.row.name) for each in standings]
    named += [(step.n_parameters, step.summary.final_mean, step.step) for step in steps]
    marks = [(n, accuracy) for n, accuracy, _ in named] + [(each.row.n_parameters, each.row.claim.headline) for each in standings]
    parts += _labels(
        [(x(n), y(accuracy), name) for n, accuracy, name in named], [(x(n), y(accuracy)) for n, accuracy in marks], x(MAX_PARAMETERS)
    )
    return "\n".join([*parts, "</svg>"])


def _measured(n: int, result: Result, name: str, kind: str, bar: str, x: Callable[[float], str], y: Callable[[float], float]) -> list[str]:
    """Return the mean and the interval of a result."""
    low, high = result.summary.interval
    mean = result.summary.final_mean
    text = f"{name}: {formatting.mean_sd(mean, result.summary.final_sd)}, {formatting.count(n)} parameters"
    return [
        f'<line class="{bar}" x1="{x(n)}" x2="{x(n)}" y1="{y(low)}" y2="{y(high)}"/>',
        _titled(_dot(kind, x(n), y(mean)), text),
    ]


def _labels(named: Sequence[tuple[str, float, str]], marks: Sequence[tuple[str, float]], limit: str) -> Iterator[str]:
    """Yield the names of the marks that have room for one on either side, clear of the upright limit; the others tell a pointer."""
    taken = [(place - 6, place + 6, y - 6, y + 6) for place, y in ((_pixels(x), y) for x, y in marks)]
    taken += [(_pixels(limit) - 2, _pixels(limit) + 2, 0, HEIGHT)]
    for x, y, name in named:
        place, width = _pixels(x), LETTER * len(name)
        for anchor, start in (("start", place + 8), ("end", place - 8 - width)):
            box = (start, start + width, y - LINE / 2, y + LINE / 2)
            inside = box[0] >= WIDTH * LEFT / 100 and box[1] <= WIDTH
            if inside and not any(box[0] < b and a < box[1] and box[2] < d and c < box[3] for a, b, c, d in taken):
                taken.append(box)
                shift = 8 if anchor == "start" else -8
                yield f'<text class="label" x="{x}" dx="{shift}" y="{y + 4}" text-anchor="{anchor}">{html.escape(name)}</text>'
                break


def _pixels(x: str) -> float:
    """Return a place along the width, given in percent, in pixels of the width that labels are placed for."""
    return WIDTH * float(x.removesuffix("%")) / 100


def legend() -> str:
    """Return what the marks mean, as a list for a page."""
    marks = [(_cross("9", 9) if kind == "peer" else _dot(kind, "9", 9), text) for kind, text in LEGEND]
    items = [f'<li><svg class="cloud" aria-hidden="true">{mark}</svg>{text}</li>' for mark, text in marks]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _dot(kind: str, x: str, y: float) -> str:
    """Return a dot or, of a claim, a ring."""
    return f'<circle class="{kind}" cx="{x}" cy="{y}" r="4.5"/>'


def _cross(x: str, y: float) -> str:
    """Return a cross."""
    return f'<svg x="{x}" y="{y}" overflow="visible"><path class="peer" d="M-4-4 4 4M-4 4 4-4"/></svg>'


def _titled(drawn: str, text: str) -> str:
    """Return a mark that says what it is where a pointer rests on it."""
    return f"<g><title>{html.escape(text)}</title>{drawn}</g>"
