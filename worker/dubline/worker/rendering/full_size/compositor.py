"""Finished frames: the still frame, converted once, with the moving crop in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

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


class Crops(NamedTuple):
    """The moving crop in one batch of frames, at full size: its part inside the frame."""

    luma: NDArray[np.uint8]
    """(B, h, w, 1)."""
    chroma: NDArray[np.uint8]
    """(B, h / 2, w / 2, 2)."""


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
        luma = Patch(source.luma[..., None], rows, columns)
        chroma = Patch(source.chroma, *_halves((rows, columns)))
        self._luma, self._chroma = (_enlarger(part, device) for part in (luma, chroma))
        self._matrix, self._offset = (torch.from_numpy(part).float().to(device) for part in np.split(COLOUR, [3], 1))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every frame, px."""
        height, width = self._frame.luma.shape
        return width, height

    @torch.inference_mode()
    def enlarge(self, fields: Fields) -> Crops:
        """Enlarge what the networks computed for one batch. Several threads may call it at once."""
        fields = self._border(fields)
        colour, occlusion = fields.generated
        generated = torch.einsum("kc,bchw->bkhw", self._matrix, colour) + self._offset[..., None]
        luma = self._luma(fields.displacement, generated[:, :1], occlusion)
        return Crops(luma, self._chroma(fields.displacement, generated[:, 1:], occlusion))

    def frames(self, batches: Iterable[Crops]) -> Iterator[NDArray[np.uint8]]:
        """Composite whole frames.

        Args:
            batches: of `enlarge`.

        Yields:
            I420, (3 H / 2, W), one per motion latent. All frames share one buffer.
        """
        rows, columns = _halves(self._inside)
        for batch in batches:
            for luma, chroma in zip(*batch, strict=True):
                self._frame.luma[self._inside] = luma[..., 0]
                self._frame.chroma[:, rows, columns] = chroma.transpose(2, 0, 1)
                yield self._frame.buffer


def _enlarger(patch: Patch, device: torch.device) -> Enlarger:
    return OpenCvEnlarger(patch) if device.type == "cpu" else TorchEnlarger(patch, device)


def _halves(region: tuple[slice, slice]) -> tuple[slice, slice]:
    """Convert rows and columns of luma, which are even, to those of chroma."""
    rows, columns = (slice(part.start // 2, part.stop // 2) for part in region)
    return rows, columns
