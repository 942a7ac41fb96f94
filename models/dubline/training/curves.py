"""Training curves: a line of figures a report in `NAME.jsonl`, drawn as small panels in `NAME.curves.png`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from pathlib import Path

PANEL_PX: Final = 320
HEIGHT_PX: Final = 170
MARGIN_PX: Final = 34
COLUMNS: Final = 3
PAPER: Final = (255, 255, 255)
FRAME: Final = (210, 210, 210)
INK: Final = (60, 60, 60)
LINE: Final = (31, 95, 170)
#: A line of more points than pixels is only slow.
MOST_POINTS: Final = 2 * PANEL_PX
#: The first reports of a run are of an untrained network: they would flatten the rest.
SPREAD: Final = (1, 99)


class Curves:
    """The figures of one run, beside its state.

    Args:
        path: the state's; NAME.jsonl and NAME.curves.png lie beside it.
        keep: go on with the lines of an earlier session; else they are deleted at the first report.
    """

    def __init__(self, path: Path, *, keep: bool) -> None:
        self.rows, self.picture = path.with_suffix(".jsonl"), path.with_suffix(".curves.png")
        self.keep, self.last_step = keep, -1

    def add(self, row: dict[str, float]) -> None:
        """Append one report; figures that are not finite are written as null."""
        self.rows.parent.mkdir(parents=True, exist_ok=True)
        finite = {key: value if math.isfinite(value) else None for key, value in row.items()}
        with self.rows.open("a" if self.keep else "w") as file:
            file.write(json.dumps(finite) + "\n")
        self.keep, self.last_step = True, int(row["step"])

    def draw(self) -> None:
        """Draw every figure over the steps; nothing without two reports."""
        if not self.rows.exists():
            return
        rows = read_rows(self.rows)
        keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in ("step", "seconds")]
        if len(rows) > 1 and keys:
            draw_panels(rows, keys).save(self.picture)


def read_rows(path: Path) -> list[dict[str, float]]:
    """The reports in a file; null figures are left out, and so is a last line that a kill cut short."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows.append({key: value for key, value in row.items() if value is not None})
    return rows


def draw_panels(rows: list[dict[str, float]], keys: list[str]) -> Image.Image:
    """One small panel a figure, three in a row."""
    count = math.ceil(len(keys) / COLUMNS)
    sheet = Image.new("RGB", (PANEL_PX * min(COLUMNS, len(keys)), HEIGHT_PX * count), PAPER)
    for index, key in enumerate(keys):
        points = np.array([(row["step"], row[key]) for row in rows if key in row], np.float64)
        panel = _panel(key, points[:: math.ceil(len(points) / MOST_POINTS)])
        sheet.paste(panel, (index % COLUMNS * PANEL_PX, index // COLUMNS * HEIGHT_PX))
    return sheet


def _panel(key: str, points: np.ndarray) -> Image.Image:
    panel = Image.new("RGB", (PANEL_PX, HEIGHT_PX), PAPER)
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(11)
    left, top, right, bottom = MARGIN_PX + 20, 26, PANEL_PX - 10, HEIGHT_PX - 24
    draw.rectangle((left, top, right, bottom), outline=FRAME)
    draw.text((left, 8), f"{key}   {_short(points[-1, 1])}", INK, font)
    (first, last), (low, high) = points[[0, -1], 0], np.percentile(points[:, 1], SPREAD)
    x = left + (points[:, 0] - first) / max(last - first, 1) * (right - left)
    level = (points[:, 1] - low) / (high - low) if high > low else np.full(len(points), 0.5)
    y = bottom - level.clip(0, 1) * (bottom - top)
    draw.line([*zip(x.tolist(), y.tolist(), strict=True)], LINE, 2)
    draw.text((left - 6, top), _short(high), INK, font, anchor="rt")
    draw.text((left - 6, bottom), _short(low), INK, font, anchor="rb")
    draw.text((left, bottom + 6), _short(first), INK, font)
    draw.text((right, bottom + 6), _short(last), INK, font, anchor="rt")
    return panel


def _short(value: float) -> str:
    """A label of at most seven characters: 12.3k, .0042, 3e-07."""
    if abs(value) >= 10_000:  # noqa: PLR2004 - five digits do not fit
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"
