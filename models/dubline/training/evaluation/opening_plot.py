"""Plots measured mouth openings of a few clips against the true opening, with the expected closures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH_PX: Final = 1100
HEIGHT_PX: Final = 190
MARGIN_PX: Final = 12
LABEL_PX: Final = 26
COLOURS: Final = {
    "truth": (30, 30, 30),
    "own": (40, 110, 220),
    "speech": (215, 50, 40),
    "loudness": (170, 170, 170),
}
WIDTHS: Final = {"truth": 3, "speech": 2}
CLOSURE: Final = (225, 238, 225)
PAPER: Final = (255, 255, 255)
SCALE: Final = 2


class OpeningPlot:
    """One panel per clip over all its frames; drawn at twice the size and scaled down for smooth lines."""

    def __init__(self) -> None:
        self.panels: list[Image.Image] = []

    def add(self, title: str, curves: Mapping[str, NDArray[np.float64]], closures: Iterable[range]) -> None:
        """Append a panel of curves (T,), keyed as `COLOURS`; NaN leaves a gap."""
        panel = Image.new("RGB", (WIDTH_PX * SCALE, HEIGHT_PX * SCALE), PAPER)
        draw = ImageDraw.Draw(panel)
        count = max(len(curve) for curve in curves.values())
        top = (
            max((float(np.nanmax(curve)) for curve in curves.values() if np.isfinite(curve).any()), default=1.0) or 1.0
        )

        def place(frame: float, value: float) -> tuple[float, float]:
            x = MARGIN_PX + frame / max(1, count - 1) * (WIDTH_PX - 2 * MARGIN_PX)
            y = HEIGHT_PX - MARGIN_PX - value / top * (HEIGHT_PX - MARGIN_PX - LABEL_PX)
            return x * SCALE, y * SCALE

        for span in closures:
            draw.rectangle([place(span.start - 0.5, top), place(span.stop - 0.5, 0)], fill=CLOSURE)
        draw.line([place(0, 0), place(count - 1, 0)], (200, 200, 200), SCALE)
        for name, curve in curves.items():
            for start in range(len(curve) - 1):
                if np.isfinite(curve[start : start + 2]).all():
                    ends = [place(start, float(curve[start])), place(start + 1, float(curve[start + 1]))]
                    draw.line(ends, COLOURS[name], WIDTHS.get(name, 1) * SCALE)
        panel = panel.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.LANCZOS)
        pen, x = ImageDraw.Draw(panel), MARGIN_PX
        for text, ink in ((title, COLOURS["truth"]), *((name, COLOURS[name]) for name in curves)):
            pen.text((x, 6), text, ink)
            x += 12 + round(pen.textlength(text))
        self.panels.append(panel)

    def save(self, path: Path) -> bool:
        """Write the panels below each other; return False without panels."""
        if not self.panels:
            return False
        sheet = Image.new("RGB", (WIDTH_PX, HEIGHT_PX * len(self.panels)), PAPER)
        for row, panel in enumerate(self.panels):
            sheet.paste(panel, (0, row * HEIGHT_PX))
        sheet.save(path)
        return True
