"""Contact sheet for visual inspection: one row per video with its source and some frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LABEL_PX: Final = 110
CELL_PX: Final = 160
GAP_PX: Final = 2
INK: Final = (20, 20, 20)
PAPER: Final = (255, 255, 255)


class ContactSheet:
    """Rows of thumbnails with a label."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, list[Image.Image]]] = []

    def add(self, name: str, mode: str, source: NDArray[np.uint8], pictures: Sequence[NDArray[np.uint8]]) -> None:
        """Append a row: name, mode, source and frames (S, S, 3)."""
        cells = [
            Image.fromarray(np.ascontiguousarray(picture)).resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
            for picture in (source, *pictures)
        ]
        self.rows.append((f"{name}\n{mode}", cells))

    def save(self, path: Path) -> None:
        """Write the sheet as a picture; nothing without rows."""
        if not self.rows:
            return
        columns, pitch = max(len(cells) for _, cells in self.rows), CELL_PX + GAP_PX
        sheet = Image.new("RGB", (LABEL_PX + columns * pitch, len(self.rows) * pitch), PAPER)
        draw = ImageDraw.Draw(sheet)
        for row, (label, cells) in enumerate(self.rows):
            draw.multiline_text((4, row * pitch + 8), label, INK)
            for column, cell in enumerate(cells):
                sheet.paste(cell, (LABEL_PX + column * pitch, row * pitch))
        sheet.save(path)
