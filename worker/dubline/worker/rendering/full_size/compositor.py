"""Finished frames: the still frame, converted once, with the moving crop in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch

from dubline.framing import crop
from dubline.models.layers import resize
from dubline.models.stage1.autoencoder import Fields
from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.models.stage1.mouth_eye_refiner import Box, edge_weight
from dubline.worker.rendering.colour_frame import ORDINARY, SHADED
from dubline.worker.rendering.full_size import planes
from dubline.worker.rendering.full_size.border import Border
from dubline.worker.rendering.full_size.on_device import TorchEnlarger
from dubline.worker.rendering.full_size.opencv import OpenCvEnlarger
from dubline.worker.rendering.full_size.patch import Patch
from dubline.worker.rendering.full_size.stretching import stretched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.framing.crop import Square
    from dubline.framing.tilted import TiltedSquare
    from dubline.worker.rendering.colour_frame import ColourFrame
    from dubline.worker.rendering.full_size.patch import Enlarger
#: Luma of black and chroma of grey.
BLACK: Final = 16
GREY: Final = 128
#: Where eyes are in the networks' square; mouths are below it.
EYES: Final = Box(left=6, top=8, width=20, height=8)
#: Frames that a CPU enlarges at once: more take memory, and no less time.
MOST_CPU_FRAMES: Final = 4


class Crops(NamedTuple):
    """The moving crop in one batch of frames, at full size: its part inside the frame."""

    luma: NDArray[np.uint8]
    """(B, 1, h, w)."""
    chroma: NDArray[np.uint8]
    """(B, 2, h / 2, w / 2)."""


class Compositor:
    """Composites the moving crop into one still frame.

    Args:
        still: the still frame, (H, W, 3) uint8 RGB, of even sides.
        seen: the square of which the networks see the pixels; even corners, a side as of `crop.around`.
        device: of the fields.
        colours: of the source.
        picture: rows and columns of the frame without bars, with even ends; `seen` is in px of them. Default: all.
    """

    def __init__(
        self,
        still: NDArray[np.uint8],
        seen: Square | TiltedSquare,
        device: torch.device,
        colours: ColourFrame = ORDINARY,
        picture: tuple[slice, slice] | None = None,
    ) -> None:
        height, width = still.shape[:2]
        picture = picture or (slice(0, height), slice(0, width))
        self._frame = planes.Frame(height, width)
        frame = planes.split(still)
        self._frame.luma[:] = planes.rounded(frame.luma)
        self._frame.chroma[:] = planes.rounded(frame.chroma).transpose(2, 0, 1)
        visible = still[picture]
        height, width = visible.shape[:2]
        self._border = Border(seen, height, width)
        self._eyes_by_side: dict[int, Tensor] = {}
        square = self._border.region
        rows, columns = inside = square.inside(height, width)
        # What a batch writes: views of the frame.
        self._luma = self._frame.luma[picture][inside]
        self._chroma = self._frame.chroma[:, *_halves(picture)][:, *_halves(inside)]
        rows = slice(rows.start - square.top, rows.stop - square.top)
        columns = slice(columns.start - square.left, columns.stop - square.left)
        source = planes.split(crop.cut(visible, square))
        chroma = np.ascontiguousarray(source.chroma.transpose(2, 0, 1))
        parts = Patch(source.luma[None], rows, columns, is_luma=True), Patch(chroma, *_halves((rows, columns)))
        self._enlarge_luma, self._enlarge_chroma = (_enlarger(part, device) for part in parts)
        to_planes = colours.to_source()
        # The networks' colour is in [-1, 1].
        scale, offset = to_planes[:, :3] * 127.5, to_planes @ (127.5, 127.5, 127.5, 1)
        self._scale, self._offset = (torch.from_numpy(part).float().to(device) for part in (scale, offset))
        self._range, self._skin, self._freedom = colours.luma, colours.skin, colours.freedom

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every frame, px."""
        height, width = self._frame.luma.shape
        return width, height

    def enlarge(self, fields: Fields) -> Crops:
        """Enlarge what the networks computed for one batch. Several threads may call it at once."""
        count = MOST_CPU_FRAMES if fields.displacement.device.type == "cpu" else len(fields.displacement)
        parts = [self._enlarge(part) for part in fields.split(count)]
        return parts[0] if len(parts) == 1 else Crops(*map(np.concatenate, zip(*parts, strict=True)))

    @torch.inference_mode()
    def _enlarge(self, fields: Fields) -> Crops:
        colour, occlusion = fields.generated
        # Before the border: its margins repeat pixels.
        generated = self._limited(torch.einsum("kc,bchw->bkhw", self._scale, colour.float()))
        displacement, (generated, occlusion) = self._border(
            fields._replace(generated=GeneratedPixels(generated, occlusion))
        )
        side = generated.shape[-1]
        hiding = torch.maximum(self._eyes(fields), resize(stretched(displacement), side, side))
        luma = self._enlarge_luma(displacement, generated[:, :1], occlusion, hiding)
        return Crops(luma, self._enlarge_chroma(displacement, generated[:, 1:], occlusion, hiding))

    def _eyes(self, fields: Fields) -> Tensor:
        """Return where eyes may be, for fields of this size: (1, 1, S, S) in [0, 1], with the border's margins."""
        side = fields.generated.colour.shape[-1]
        if side not in self._eyes_by_side:
            first = fields.displacement.new_zeros(1, 1, side, side, dtype=torch.float32)
            rows, columns = EYES.slices(side)
            box = first[..., rows, columns]
            box[:] = edge_weight(*box.shape[-2:], box.device)
            placed = self._border(Fields(fields.displacement[:1], GeneratedPixels(first.expand(1, 3, -1, -1), first)))
            self._eyes_by_side[side] = placed.generated.occlusion
        return self._eyes_by_side[side]

    def _limited(self, generated: Tensor) -> Tensor:
        """Offset generated planes, whose tensor is overwritten, and limit them to what the source can show.

        Luma stays in the source's range, and dark pixels are not bluer than skin in the shade.
        """
        generated += self._offset[:, None, None]
        luma, blue = self._skin
        bright = generated[:, :1]
        if blue != 0:
            first, last = SHADED
            light = (bright - BLACK) / luma
            share = ((last - light) / (last - first)).clamp_(0, 1).mul_(self._freedom)
            beyond = (generated[:, 1:2] - GREY).sub_(light.clamp_min_(0), alpha=blue).clamp_min_(0)
            generated[:, 1:2] -= share * beyond
        bright.clamp_(*self._range)
        return generated

    def frames(self, batches: Iterable[Crops]) -> Iterator[NDArray[np.uint8]]:
        """Composite whole frames.

        Args:
            batches: of `enlarge`.

        Yields:
            I420, (3 H / 2, W), one per motion latent. All frames share one buffer.
        """
        for batch in batches:
            for luma, chroma in zip(*batch, strict=True):
                self._luma[:] = luma[0]
                self._chroma[:] = chroma
                yield self._frame.buffer


def _enlarger(patch: Patch, device: torch.device) -> Enlarger:
    return OpenCvEnlarger(patch) if device.type == "cpu" else TorchEnlarger(patch, device)


def _halves(region: tuple[slice, slice]) -> tuple[slice, slice]:
    """Convert rows and columns of luma, which are even, to those of chroma."""
    rows, columns = (slice(part.start // 2, part.stop // 2) for part in region)
    return rows, columns
