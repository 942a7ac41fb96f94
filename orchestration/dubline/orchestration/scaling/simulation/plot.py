"""An SVG picture of a study: what each setting of each policy attains in training, and what it costs."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Final

from dubline.orchestration.scaling.simulation.study import GOAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dubline.orchestration.scaling.simulation.study import Point, Result

WIDTH_PX: Final = 760
HEIGHT_PX: Final = 420
LEFT_PX: Final = 60
TOP_PX: Final = 30
#: Size of the area between the axes.
AREA_PX: Final = (460, 340)
COLOURS: Final = ("#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#666666")
#: Device hours for an hour of work at the ends of the axis, which is logarithmic.
RATIOS: Final = (1.0, 8.0)
TICKS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)


def svg(results: Sequence[Result]) -> str:
    """Draw a curve for each policy; the chosen setting is a disc."""
    size = f'width="{WIDTH_PX}" height="{HEIGHT_PX}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect {size} fill="white"/>',
        *_axes(),
    ]
    for number, result in enumerate(results):
        colour = COLOURS[number % len(COLOURS)]
        points = sorted((point for point in result.points if point.ratio <= RATIOS[1]), key=lambda point: point.ratio)
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(_place, points))
        lines.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in points:
            x, y = _place(point)
            lines.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{6 if point.value == result.value else 3}" fill="{colour}"/>'
            )
        y = TOP_PX + 20 + 36 * number
        x = LEFT_PX + AREA_PX[0] + 20
        lines.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        lines.append(f'<text x="{x + 16}" y="{y}">{escape(result.candidate.name)}</text>')
        lines.append(
            f'<text x="{x + 16}" y="{y + 14}" fill="#666">{escape(result.candidate.shown(result.value))}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _place(point: Point) -> tuple[float, float]:
    return _x(point.ratio), _y(point.attained)


def _x(ratio: float) -> float:
    return LEFT_PX + AREA_PX[0] * math.log(ratio / RATIOS[0]) / math.log(RATIOS[1] / RATIOS[0])


def _y(attained: float) -> float:
    return TOP_PX + AREA_PX[1] * (1.0 - attained)


def _axes() -> list[str]:
    right, bottom = LEFT_PX + AREA_PX[0], TOP_PX + AREA_PX[1]
    up = "share finished in time, of the kind of trace with the smallest one"
    return [
        f'<path d="M{LEFT_PX} {TOP_PX}V{bottom}H{right}" fill="none" stroke="black"/>',
        f'<text x="{LEFT_PX}" y="{TOP_PX - 12}">{up}</text>',
        f'<text x="{right}" y="{bottom + 36}" text-anchor="end">device hours for an hour of work</text>',
        f'<path d="M{LEFT_PX} {_y(GOAL):.1f}H{right}" stroke="#999" stroke-dasharray="4"/>',
        *[
            f'<text x="{LEFT_PX - 8}" y="{_y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>'
            for share in (0.0, 0.25, 0.5, 0.75, 1.0)
        ],
        *[f'<text x="{_x(ratio):.1f}" y="{bottom + 18}" text-anchor="middle">{ratio:g}</text>' for ratio in TICKS],
    ]
