"""The kernels of a net's first layer, and how far each tap of its last convolution moved in training, as one drawing."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from mnistlib import formatting

CELL, GAP, TOP = 34, 22, 30  # pixels: a tap, between kernels, above them

STYLE = """
.kernels { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif }
.scroll > svg.kernels { width: 38rem; max-width: none }
.kernels text { fill: var(--ink, #1e2126) }
.kernels rect { stroke: var(--rule, #e2dfd8) }
.kernels .up { fill: var(--mark, #c2410c) }
.kernels .down { fill: var(--link, #0a5796) }
.kernels .none { fill: none }
"""


def inline(record: Mapping[str, Any]) -> str:
    """Return the drawing as SVG: `record` holds "first", kernels [n, rows, columns], and "moved", the mean movement of each tap."""
    first, moved = record["first"], record["moved"]
    side = CELL * len(moved)
    left = (side + GAP) * len(first) + 2 * GAP
    width, height = left + side, TOP + side
    still = sum(value == 0 for row in moved for value in row)
    words = (
        f"The {formatting.count(len(first))} kernels of the first layer, and how far each tap of the last convolution moved in training: "
        f"{formatting.of(still, len(moved) ** 2)} taps did not move at all."
    )
    parts = [f'<svg class="kernels" role="img" aria-label="{html.escape(words)}" width="{width}" viewBox="0 0 {width} {height}">']
    parts.append('<text x="0" y="14">kernels of the first layer</text>')
    parts.append(f'<text x="{width}" y="14" text-anchor="end">movement of the last one</text>')
    largest = max(abs(value) for kernel in first for row in kernel for value in row)
    for place, kernel in enumerate(first):
        parts += _taps(kernel, (side + GAP) * place, largest)
    parts += _taps(moved, left, max(value for row in moved for value in row))
    return "\n".join([*parts, "</svg>"])


def _taps(values: Sequence[Sequence[float]], left: int, largest: float) -> list[str]:
    """Return the squares of one kernel, the stronger the larger the value."""
    parts = []
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            kind = "up" if value > 0 else "down" if value < 0 else "none"
            parts.append(
                f'<rect class="{kind}" x="{left + CELL * x}" y="{TOP + CELL * y}" width="{CELL}" height="{CELL}"'
                f' fill-opacity="{abs(value) / largest if largest else 0:.2f}"/>'
            )
    return parts
