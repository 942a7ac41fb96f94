"""Training curves: one row of figures per report in `NAME.jsonl`, drawn as small panels in `NAME.curves.png`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

if TYPE_CHECKING:
    from pathlib import Path

#: Weight of the newest value in the moving average of a figure.
SMOOTHING: Final = 0.02
PANEL_PX: Final = 320
HEIGHT_PX: Final = 170
MARGIN_PX: Final = 34
COLUMNS: Final = 3
PAPER: Final = (255, 255, 255)
FRAME: Final = (210, 210, 210)
INK: Final = (60, 60, 60)
LINE: Final = (31, 95, 170)
#: More points than pixels only cost time.
MOST_POINTS: Final = 2 * PANEL_PX
#: Percentiles of the drawn range: the first reports are of an untrained network and would compress the rest.
SPREAD: Final = (1, 99)


class Curves:
    """Figures of one run.

    Args:
        path: of the state; NAME.jsonl and NAME.curves.png are written beside it.
        keep: append to the rows of an earlier session; else they are deleted at the first report.
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
        """Draw all figures over the steps; nothing with fewer than two reports."""
        if not self.rows.exists():
            return
        rows = read_rows(self.rows)
        keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in ("step", "seconds")]
        if len(rows) > 1 and keys:
            draw_panels(rows, keys).save(self.picture)


def read_rows(path: Path) -> list[dict[str, float]]:
    """Read the reports of a file; skip null figures and an incomplete last line."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows.append({key: value for key, value in row.items() if value is not None})
    return rows


def smoothed(before: float | Tensor | None, value: float | Tensor) -> float | Tensor:
    """Update a moving average of a figure on its device; values that are not finite are ignored."""
    if before is None or (isinstance(before, float) and not math.isfinite(before)):
        return value.detach() if isinstance(value, Tensor) else value
    if isinstance(value, Tensor):
        value = value.detach()
        before = torch.where(torch.as_tensor(before, device=value.device).isfinite(), before, value)
        value = torch.where(value.isfinite(), value, before)
    elif not math.isfinite(value):
        return before
    return before * (1 - SMOOTHING) + value * SMOOTHING


def draw_panels(rows: list[dict[str, float]], keys: list[str]) -> Image.Image:
    """Draw one panel per figure, three in a row."""
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
    """Format a label of at most seven characters: 12.3k, .0042, 3e-07."""
    if abs(value) >= 10_000:  # noqa: PLR2004 - five digits do not fit
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"
