"""Enlargement on CPUs with OpenCV, which takes a sixth of the processor time of torch's operations (ADR 0040)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import cv2
import numpy as np

from dubline.worker.rendering.full_size.patch import (
    ALONE,
    AROUND_PX,
    CHROMA_SHARE,
    DETAIL,
    FAINT,
    OTHER,
    SAME,
    SMOOTHING,
)
from dubline.worker.rendering.full_size.rows import Rows, shrunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.worker.rendering.full_size.patch import Patch

#: Occlusion up to which nobody sees that detail of the source shows through it.
SEEN: Final = 0.05
#: Rows that are computed at once, so that what is computed for them fits into the processor's cache.
BAND_ROWS: Final = 64
#: Generated pixels on either side of a pixel that the change of this pixel is interpolated from.
REACH: Final = 3 + max(len(SMOOTHING), AROUND_PX) // 2
#: `SMOOTHING` as OpenCV takes it.
KERNEL: Final = np.array(SMOOTHING, np.float32)


class Change(NamedTuple):
    """How generated pixels change one plane of a frame."""

    pixels: Rows
    """What is added to the moved pixels that are not hidden; for a crop that is not larger, the generated pixels."""
    hidden: Rows | None = None
    """Share of the moved pixels that does not show through generated ones; of a larger crop that hides some."""


class Hiding(NamedTuple):
    """Where pixels of the moved source are hidden, each (S, S) in [0, 1]."""

    other: NDArray[np.float32]
    """Where generated pixels show something else."""
    all: NDArray[np.float32]
    """Whatever they show."""


class OpenCvEnlarger:
    """Enlarges one plane, frame by frame, with the calling thread; several may call it at once.

    A frame is computed in bands of rows: only one array of its size exists, the moved pixels. No pixel depends on the
    height of the bands. Of what is outside the frame only pixels that visible ones depend on are moved.

    Args:
        patch: the plane.
    """

    def __init__(self, patch: Patch) -> None:
        self._patch = patch
        self._source = patch.moved_from()
        self._places = np.arange(patch.side, dtype=np.float32) * patch.scale
        # A third of the time; of chroma nobody sees the finest detail.
        self._between = cv2.INTER_CUBIC if patch.is_luma else cv2.INTER_LINEAR

    def __call__(self, displacement: Tensor, generated: Tensor, occlusion: Tensor, hiding: Tensor) -> NDArray[np.uint8]:
        """Enlarge a batch on the CPU, as `Enlarger` describes."""
        patch = self._patch
        parts = (part.float().contiguous().numpy() for part in (displacement, generated, occlusion, hiding))
        enlarged = np.empty((len(displacement), *patch.source[:, patch.rows, patch.columns].shape), np.uint8)
        for move, colours, shares, (hides,), results in zip(*parts, enlarged, strict=True):
            moved = self._move(move, *(self._around(part, colours) for part in (patch.rows, patch.columns)))
            both = Hiding(hides, alone(shares[0]))
            seen = both if (np.maximum(*both) * shares[0]).max() > SEEN else None
            changes = [self._change(*planes, seen) for planes in zip(moved, colours, strict=True)]
            self._blend(moved, changes, shares, results)
        return enlarged

    def _around(self, visible: slice, generated: NDArray[np.float32]) -> slice:
        """Return the rows, or columns, that visible ones depend on."""
        side, network = self._patch.side, generated.shape[-1]
        margin = -(-REACH * side // network) if side > network else 0
        return slice(max(0, visible.start - margin), min(side, visible.stop + margin))

    def _move(self, displacement: NDArray[np.float32], region: slice, columns: slice) -> NDArray[np.float32]:
        """Move the source's pixels in some rows and columns; other columns are copied, other rows are undefined."""
        source, side = self._patch.source, self._patch.side
        moved = np.empty_like(source)
        x, y = (Rows(axis * np.float32(self._patch.scale * side / 2), side, cv2.INTER_LINEAR) for axis in displacement)
        columns = _common(columns, slice(min(x.columns.start, y.columns.start), max(x.columns.stop, y.columns.stop)))
        for rows in _bands(range(side)[region]):
            if x.is_zero(rows) and y.is_zero(rows):
                moved[:, rows] = source[:, rows]
                continue
            for beside in (slice(0, columns.start), slice(columns.stop, side)):
                moved[:, rows, beside] = source[:, rows, beside]
            to_x, to_y = x(rows, columns), y(rows, columns)
            to_x += self._places[columns]
            to_y += self._places[rows, None]
            for pixels, plane in zip(self._source, moved, strict=True):
                target = plane[rows, columns]
                cv2.remap(pixels, to_x, to_y, self._between, dst=target, borderMode=cv2.BORDER_REPLICATE)
        return moved

    def _blend(
        self,
        moved: NDArray[np.float32],
        changes: list[Change],
        shares: NDArray[np.float32],
        enlarged: NDArray[np.uint8],
    ) -> None:
        """Blend generated pixels into the moved ones, which are overwritten, and write the part inside the frame."""
        patch, share = self._patch, Rows.by_area(shares[0], self._patch.side)
        covered, visible = _common(patch.columns, share.columns), range(patch.side)[patch.rows]
        larger = patch.side > shares.shape[-1]
        for rows in _bands(visible):
            shown = None if share.is_zero(rows) else share(rows, covered)
            for plane, change, result in zip(moved, changes, enlarged, strict=True):
                pixels = plane[rows]
                if shown is not None:
                    part = change.pixels(rows, covered)
                    if not larger:
                        part -= pixels[:, covered]
                    elif change.hidden is not None and not change.hidden.is_zero(rows):
                        pixels[:, covered] *= 1 - shown * change.hidden(rows, covered)
                    cv2.accumulateProduct(part, shown, pixels[:, covered])
                # Rounds to even and saturates.
                written = result[rows.start - visible.start : rows.stop - visible.start]
                cv2.add(pixels[:, patch.columns], 0, dst=written, dtype=cv2.CV_8U)

    def _change(self, moved: NDArray[np.float32], generated: NDArray[np.float32], hiding: Hiding | None) -> Change:
        """Return what the generated pixels change, or, for a crop that is not larger, the generated pixels.

        Detail finer than a generated pixel stays the source's own where nothing hides it; so does the finest of luma:
        see `finest_detail`.
        """
        side, network, is_luma = self._patch.side, len(generated), self._patch.is_luma
        if side <= network:
            return Change(Rows.by_area(generated, side))
        small = shrunk(moved, network, self._around(self._patch.rows, generated))
        kept = finest_detail(generated, small) if is_luma else generated
        if hiding is None:
            return Change(Rows(kept - small, side, cv2.INTER_CUBIC))
        hidden = hiding.other * other(generated, small, SAME if is_luma else SAME * CHROMA_SHARE)
        hidden = np.maximum(hidden, hiding.all)
        kept = generated + (1 - hiding.all) * (kept - generated)
        pixels = Rows(kept - (1 - hidden) * small, side, cv2.INTER_CUBIC)
        # Enlarged as what replaces it.
        return Change(pixels, Rows(hidden, side, cv2.INTER_CUBIC))


def finest_detail(generated: NDArray[np.float32], moved: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return generated luma with the finest detail of the moved source where both show the same.

    They show the same where they differ little once smoothed. There, the detail with more energy is kept, as where two
    pyramids of Laplacians are fused (Burt and Kolczynski, 1993), without a step from one to the other.

    Args:
        generated: (S, S), in levels.
        moved: (S, S), the moved source at the same side.
    """
    smooth, smooth_moved = (cv2.sepFilter2D(plane, -1, KERNEL, KERNEL) for plane in (generated, moved))
    detail, detail_moved = generated - smooth, moved - smooth_moved
    energy = detail_moved * detail_moved
    share = energy / (energy + detail * detail + np.float32(FAINT))
    share *= np.maximum(1 - np.square((smooth - smooth_moved) / np.float32(SAME)), 0)
    share *= detail_moved - detail
    kept: NDArray[np.float32] = generated + np.clip(share, -DETAIL, DETAIL)
    return kept


def alone(occlusion: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return where nothing of the moved source is left, (S, S) in [0, 1], for an occlusion (S, S) in [0, 1]."""
    share: NDArray[np.float32] = np.clip((occlusion - np.float32(ALONE)) / np.float32(1 - ALONE), 0, 1)
    return share


def other(generated: NDArray[np.float32], moved: NDArray[np.float32], same: float) -> NDArray[np.float32]:
    """Return how far generated pixels show something else than the moved source, such as a lid over an eye.

    Args:
        generated: (S, S), in levels.
        moved: (S, S), the moved source at the same side.
        same: levels by which they differ on average where nothing is the same.

    Returns:
        (S, S) in [0, 1].
    """
    energy = cv2.blur(np.square((generated - moved) / np.float32(same)), (AROUND_PX, AROUND_PX))
    share = np.clip((energy - np.float32(OTHER)) / np.float32(1 - OTHER), 0, 1)
    shown: NDArray[np.float32] = share * share * (3 - 2 * share)
    return shown


def _common(first: slice, second: slice) -> slice:
    """Return what two slices have in common."""
    start = max(first.start, second.start)
    return slice(start, max(start, min(first.stop, second.stop)))


def _bands(rows: range) -> Iterator[slice]:
    """Divide rows at multiples of `BAND_ROWS`."""
    for start in range(rows.start - rows.start % BAND_ROWS, rows.stop, BAND_ROWS):
        yield slice(max(start, rows.start), min(start + BAND_ROWS, rows.stop))
