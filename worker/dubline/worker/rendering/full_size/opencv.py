"""Enlargement on CPUs with OpenCV, which takes a sixth of the processor time of torch's operations (ADR 0040)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from dubline.worker.rendering.full_size.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.worker.rendering.full_size.patch import Patch

#: Rows that are computed at once, so that what is computed for them fits into the processor's cache.
BAND_ROWS: Final = 64


class OpenCvEnlarger:
    """Enlarges one plane, frame by frame, with the calling thread; several may call it at once.

    A frame is computed in bands of rows: only one array of its size exists, the moved pixels. No pixel depends on the
    height of the bands.

    Args:
        patch: the plane.
    """

    def __init__(self, patch: Patch) -> None:
        self._patch = patch
        self._columns = np.arange(patch.side, dtype=np.float32)

    def __call__(self, displacement: Tensor, generated: Tensor, occlusion: Tensor) -> NDArray[np.uint8]:
        """Enlarge a batch on the CPU, as `Enlarger` describes."""
        parts = (part.float().permute(0, 2, 3, 1).contiguous().numpy() for part in (displacement, generated, occlusion))
        visible = self._patch.source[self._patch.rows, self._patch.columns]
        enlarged = np.empty((len(displacement), *visible.shape), np.uint8)
        with _memory_errors_translated():
            for move, colour, share, result in zip(*parts, enlarged, strict=True):
                self._enlarge(move, colour, share, result)
        return enlarged

    def _enlarge(
        self,
        displacement: NDArray[np.float32],
        generated: NDArray[np.float32],
        occlusion: NDArray[np.float32],
        enlarged: NDArray[np.uint8],
    ) -> None:
        patch = self._patch
        moved = self._move(displacement)
        visible, columns = range(patch.side)[patch.rows], patch.columns
        share, change = Rows.by_area(occlusion, patch.side), self._change(moved, generated)
        for rows in _bands(visible):
            pixels = change(rows)
            if patch.side <= generated.shape[0]:
                pixels = pixels - moved[rows]
            pixels *= share(rows)
            pixels += moved[rows]
            part = pixels[:, columns]
            np.clip(np.rint(part, out=part), 0, 255, out=part)
            enlarged[rows.start - visible.start : rows.stop - visible.start] = part

    def _move(self, displacement: NDArray[np.float32]) -> NDArray[np.float32]:
        """Move the source's pixels; where nothing moves they are copied."""
        source, side = self._patch.source, self._patch.side
        moved, shift = source.copy(), Rows(displacement * np.float32(side / 2), side, cv2.INTER_LINEAR)
        for rows in _bands(range(side)):
            if shift.is_zero(rows):
                continue
            positions = shift(rows)
            positions[..., 0] += self._columns
            positions[..., 1] += self._columns[rows, None]
            part = cv2.remap(source, positions, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            moved[rows] = part.reshape(moved[rows].shape)
        return moved

    def _change(self, moved: NDArray[np.float32], generated: NDArray[np.float32]) -> Rows:
        """Return what the generated pixels change, or, for a crop that is not larger, the generated pixels.

        Detail finer than a generated pixel stays the source's own.
        """
        side, network = self._patch.side, generated.shape[0]
        if side <= network:
            return Rows.by_area(generated, side)
        smaller = cv2.resize(moved, (network, network), interpolation=cv2.INTER_AREA)
        return Rows(generated - smaller.reshape(generated.shape), side, cv2.INTER_CUBIC)


def _bands(rows: range) -> Iterator[slice]:
    for start in range(rows.start, rows.stop, BAND_ROWS):
        yield slice(start, min(start + BAND_ROWS, rows.stop))


@contextmanager
def _memory_errors_translated() -> Iterator[None]:
    try:
        yield
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(error.err) from error
        raise
