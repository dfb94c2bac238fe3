"""The figure of the series: a row per step, a dot per seed, the mean and its interval, the target as a line."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

from mnistlib import formatting, recipe
from mnistlib.report.result import Result

WIDTH = 760  # pixels of the figure as a file; on a page it takes the width that there is
TOP, ROW, AXIS = 30, 62, 30  # pixels: the target's label, a step, the axis
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # of accuracy between ticks
NEAR = 0.012  # of the width: dots closer than this are set apart vertically

STYLE = """
.dots { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums }
.dots text { fill: var(--ink, #1e2126); paint-order: stroke; stroke: var(--paper, #fff); stroke-width: 5px }
.dots .soft { fill: var(--soft, #5a606b) }
.dots .name { font-weight: 600 }
.dots .grid { stroke: var(--rule, #e2dfd8) }
.dots .target { stroke: var(--mark, #c2410c); stroke-width: 1.5; stroke-dasharray: 5 4 }
.dots .goal { fill: var(--mark, #c2410c) }
.dots .interval { stroke: var(--link, #0a5796); stroke-width: 9; opacity: .22 }
.dots .mean { stroke: var(--link, #0a5796); stroke-width: 3 }
.dots .seed { fill: var(--link, #0a5796); opacity: .6 }
"""


def alt(results: Sequence[Result], row: str = "step") -> str:
    """Return the figure in words: what it shows, what a row is, and every row's mean."""
    means = "; ".join(f"{result.step} {formatting.mean_sd(result.summary.final_mean, result.summary.final_sd)}" for result in results)
    return (
        f"Accuracy at the last epoch, a row per {row}: every seed as a dot, the mean as a bar, its interval as a band, "
        f"and a dashed line at the target of {formatting.percent(recipe.MIN_ACCURACY)}. Means: {means}."
    )


def inline(results: Sequence[Result], row: str = "step") -> str:
    """Return the figure as SVG for a page: as wide as there is room, its text at the size of the page's."""
    low, high, _ = _axis(results)
    return _svg(results, lambda accuracy: f"{100 * _share(accuracy, low, high):.3f}%", "100%", 'width="100%"', "", row)


def file(results: Sequence[Result]) -> str:
    """Return the figure as an SVG file of its own, drawn on white."""
    low, high, _ = _axis(results)
    edge = 16
    size = f'xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" viewBox="{-edge} 0 {WIDTH} {_height(results)}"'
    behind = f'<style>{STYLE}</style>\n<rect x="{-edge}" width="{WIDTH}" height="{_height(results)}" fill="#fff"/>\n'
    inner = WIDTH - 2 * edge
    return _svg(results, lambda accuracy: f"{inner * _share(accuracy, low, high):.1f}", f"{inner}", size, behind) + "\n"


def _svg(results: Sequence[Result], x: Callable[[float], str], right: str, size: str, behind: str, row: str = "step") -> str:
    """Return the drawing, with `x` turning an accuracy into a horizontal position."""
    low, high, step = _axis(results)
    height, target, bottom = _height(results), x(recipe.MIN_ACCURACY), TOP + ROW * len(results)
    label = html.escape(alt(results, row))
    parts = [f'<svg class="dots" role="img" aria-label="{label}" {size} height="{height}">\n{behind}']
    n_ticks = round((high - low) / step)
    for place in range(n_ticks + 1):
        tick, anchor = low + place * step, "start" if place == 0 else "end" if place == n_ticks else "middle"
        parts.append(f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{TOP}" y2="{bottom}"/>')
        spare = " odd" if place % 2 else ""  # left out where there is little room
        parts.append(
            f'<text class="soft{spare}" x="{x(tick)}" y="{bottom + 20}" text-anchor="{anchor}">{formatting.percent(tick, 1)}</text>'
        )
    anchor = "end" if _share(recipe.MIN_ACCURACY, low, high) > 0.5 else "start"
    parts.append(f'<line class="target" x1="{target}" x2="{target}" y1="{TOP - 8}" y2="{bottom}"/>')
    parts.append(
        f'<text class="goal" x="{target}" y="{TOP - 14}" text-anchor="{anchor}">target {formatting.percent(recipe.MIN_ACCURACY)}</text>'
    )
    for place, result in enumerate(results):
        parts += _row(result, x, right, TOP + ROW * place, high - low)
    return "\n".join([*parts, "</svg>"])


def _row(result: Result, x: Callable[[float], str], right: str, top: int, width: float) -> list[str]:
    """Return one step's row: its name and mean above, interval, mean and seeds below."""
    summary, middle = result.summary, top + 42
    (low, high), mean = summary.interval, summary.final_mean
    parts = [
        f'<text class="name" x="0" y="{top + 20}">{html.escape(result.step)}</text>',
        f'<text x="{right}" y="{top + 20}" text-anchor="end">{formatting.mean_sd(mean, summary.final_sd)}</text>',
        f'<line class="interval" x1="{x(low)}" x2="{x(high)}" y1="{middle}" y2="{middle}"/>',
        f'<line class="mean" x1="{x(mean)}" x2="{x(mean)}" y1="{middle - 10}" y2="{middle + 10}"/>',
    ]
    last, aside = -math.inf, 0
    for accuracy in sorted(run.final for run in result.runs):
        aside = (aside + 1) % 3 if accuracy - last < NEAR * width else 0
        parts.append(f'<circle class="seed" cx="{x(accuracy)}" cy="{middle + (0, -7, 7)[aside]}" r="4"/>')
        last = accuracy
    return parts


def _height(results: Sequence[Result]) -> int:
    """Return the height of the drawing in pixels."""
    return TOP + ROW * len(results) + AXIS


def _share(accuracy: float, low: float, high: float) -> float:
    """Return where between two ends an accuracy lies, as a share of the width."""
    return min(max((accuracy - low) / (high - low), 0), 1)


def _axis(results: Sequence[Result]) -> tuple[float, float, float]:
    """Return the ends of the axis, round figures around all dots, intervals and the target, and the distance of its ticks."""
    values = [run.final for result in results for run in result.runs]
    values += [bound for result in results for bound in result.summary.interval] + [recipe.MIN_ACCURACY]
    low, high = min(values), max(values)
    step = next((step for step in STEPS if (high - low) / step <= 5), STEPS[-1])
    return math.floor(low / step) * step, min(math.ceil(high / step) * step, 1.0), step
