"""The contact sheet: for every row a source and frames of one performance, to be looked at."""

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
    """Rows of pictures with a label, shrunk as they come."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, list[Image.Image]]] = []

    def add(self, name: str, mode: str, source: NDArray[np.uint8], pictures: Sequence[NDArray[np.uint8]]) -> None:
        """Append a row: what is to be seen and how it was driven, the source and pictures (S, S, 3) of it."""
        cells = [
            Image.fromarray(np.ascontiguousarray(picture)).resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
            for picture in (source, *pictures)
        ]
        self.rows.append((f"{name}\n{mode}", cells))

    def save(self, path: Path) -> None:
        """Write the sheet as a picture; nothing when it has no row."""
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
