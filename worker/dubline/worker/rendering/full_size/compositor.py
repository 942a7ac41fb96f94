"""Finished frames: the still frame, converted once, with the moving crop in it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from dubline.framing import crop
from dubline.worker.rendering.full_size import planes
from dubline.worker.rendering.full_size.border import Border
from dubline.worker.rendering.full_size.on_device import TorchEnlarger
from dubline.worker.rendering.full_size.opencv import OpenCvEnlarger
from dubline.worker.rendering.full_size.patch import Patch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from dubline.framing.crop import Square
    from dubline.framing.tilted import TiltedSquare
    from dubline.models.stage1.autoencoder import Fields
    from dubline.worker.rendering.full_size.patch import Enlarger

#: Colour in [-1, 1] to luma and chroma, (3, 4) with the offset in the last column.
COLOUR: Final = np.column_stack(
    (planes.MATRIX[:, :3] * 127.5, planes.MATRIX[:, 3] + planes.MATRIX[:, :3].sum(axis=1) * 127.5)
)


class Compositor:
    """Composites the moving crop into one still frame.

    Args:
        still: the still frame, (H, W, 3) uint8 RGB, of even sides.
        seen: the square of which the networks see the pixels; even corners, a side as of `crop.around`.
        device: of the fields.
    """

    def __init__(self, still: NDArray[np.uint8], seen: Square | TiltedSquare, device: torch.device) -> None:
        height, width = still.shape[:2]
        self._border = Border(seen, height, width)
        square = self._border.region
        self._frame = planes.Frame(height, width)
        self._inside = square.inside(height, width)
        rows, columns = self._inside
        rows = slice(rows.start - square.top, rows.stop - square.top)
        columns = slice(columns.start - square.left, columns.stop - square.left)
        frame, source = planes.split(still), planes.split(crop.cut(still, square))
        self._frame.luma[:] = planes.rounded(frame.luma)
        self._frame.chroma[:] = planes.rounded(frame.chroma).transpose(2, 0, 1)
        self._luma = Patch(source.luma[..., None], rows, columns)
        self._chroma = Patch(source.chroma, *_halves((rows, columns)))
        self._device = device
        self._matrix, self._offset = (torch.from_numpy(part).float().to(device) for part in np.split(COLOUR, [3], 1))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every frame, px."""
        height, width = self._frame.luma.shape
        return width, height

    def frames(self, batches: Iterable[Fields]) -> Iterator[NDArray[np.uint8]]:
        """Composite whole frames.

        Args:
            batches: what the networks computed for the crop.

        Yields:
            I420, (3 H / 2, W), one per motion latent. All frames share one buffer.
        """
        with ThreadPoolExecutor(torch.get_num_threads(), "enlarge") as threads:
            luma, chroma = (self._enlarger(part, threads) for part in (self._luma, self._chroma))
            for fields in batches:
                yield from self._compose(fields, luma, chroma)

    def _enlarger(self, patch: Patch, threads: ThreadPoolExecutor) -> Enlarger:
        if self._device.type == "cpu":
            return OpenCvEnlarger(patch, threads)
        return TorchEnlarger(patch, self._device)

    def _compose(self, fields: Fields, luma: Enlarger, chroma: Enlarger) -> Iterator[NDArray[np.uint8]]:
        fields = self._border(fields)
        colour, occlusion = fields.generated
        generated = torch.einsum("kc,bchw->bkhw", self._matrix, colour) + self._offset[..., None]
        first = luma(fields.displacement, generated[:, :1], occlusion)
        second = chroma(fields.displacement, generated[:, 1:], occlusion)
        rows, columns = _halves(self._inside)
        for one, two in zip(first, second, strict=True):
            self._frame.luma[self._inside] = one[..., 0]
            self._frame.chroma[:, rows, columns] = two.transpose(2, 0, 1)
            yield self._frame.buffer


def _halves(region: tuple[slice, slice]) -> tuple[slice, slice]:
    """Convert rows and columns of luma, which are even, to those of chroma."""
    rows, columns = (slice(part.start // 2, part.stop // 2) for part in region)
    return rows, columns
