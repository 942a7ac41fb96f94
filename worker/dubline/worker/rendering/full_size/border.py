"""The border of the crop: where the networks' fields end, and what limits them at edges of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import torch
from torch.nn import functional

from dubline.framing.crop import ABOVE
from dubline.framing.tilted import TiltedSquare
from dubline.models.stage1.autoencoder import Fields
from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.worker.rendering.full_size.tilted import TiltedFields

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.framing.crop import Square

#: Near an edge of the picture, the largest share of the distance to it by which pixels are moved inwards. They are
#: then stretched to at most twice their size; at 1 the edge's pixels would be repeated in streaks.
STRETCH: Final = 0.5


@dataclass(frozen=True, slots=True)
class Fade:
    """Lets a field fall to zero towards the sides at which still pixels adjoin a square.

    The others are on an edge of the picture or outside it.
    """

    still: float
    """Share of the side, counted from its edge: the field is zero up to here."""
    free: float
    """Share of the side: the field is unchanged from here inwards."""
    x: tuple[bool, bool] = (True, True)
    """Whether still pixels adjoin the left and the right side."""
    y: tuple[bool, bool] = (True, True)
    """Whether still pixels adjoin the upper and the lower side."""

    def of(self, square: Square, height: int, width: int) -> Self:
        """Return it for a square of a frame of this size."""
        x, y = (
            (start > 0, start + square.side < limit) for start, limit in ((square.left, width), (square.top, height))
        )
        return type(self)(self.still, self.free, x, y)

    def __call__(self, field: Tensor) -> Tensor:
        """Multiply a field (B, C, h, w) by the weight of each of its pixels."""
        places = _places(field)
        x, y = (
            (self._rise(1 + places) if first else 1) * (self._rise(1 - places) if last else torch.ones_like(places))
            for first, last in (self.x, self.y)
        )
        return field * y[:, None] * x

    def _rise(self, distance: Tensor) -> Tensor:
        """Rise from 0 to 1 with the distance from an edge, in half sides, without a kink."""
        share = ((distance / 2 - self.still) / (self.free - self.still)).clamp(0, 1)
        return share.square() * (3 - 2 * share)


#: Generated pixels fade inside the networks' square: this hides small shifts of colour.
GENERATED: Final = Fade(0.01, 0.08)
#: Displacement falls to zero inside the square with margins. A blend of moved and unmoved pixels would show both.
MOVED: Final = Fade(0.065, 0.22)


class Edges:
    """Limits motion towards the inside of the picture near its edges, because nothing is known beyond them.

    Pixels move freely outwards and along an edge.

    Args:
        square: of the fields.
        height: of the frame, px.
        width: of the frame, px.
    """

    def __init__(self, square: Square, height: int, width: int) -> None:
        #: For x and y: the edges of the picture, in half sides from the middle of the square.
        self._edges = [
            (-2 * start / square.side - 1, 2 * (limit - start) / square.side - 1)
            for start, limit in ((square.left, width), (square.top, height))
        ]

    def __call__(self, displacement: Tensor) -> Tensor:
        """Limit the displacement of one batch, (B, 2, h, w)."""
        places = _places(displacement)
        axes = zip(displacement.unbind(1), (places, places[:, None]), self._edges, strict=True)
        # A pixel that shows what is nearer to an edge moves away from it.
        limited = [_bounded(-_bounded(-axis, at - first), last - at) for axis, at, (first, last) in axes]
        return torch.stack(limited, 1)


class Border:
    """Extends the fields of the networks' square to the region of the frame that may change, and lets them end there.

    Args:
        seen: the square of which the networks see the pixels.
        height: of the frame, px.
        width: of the frame, px.
    """

    def __init__(self, seen: Square | TiltedSquare, height: int, width: int) -> None:
        if isinstance(seen, TiltedSquare):
            tilted = seen.with_margins
            self.region = tilted.around
            self._tilted: TiltedFields | None = TiltedFields(tilted)
            self._generated, self._moved = GENERATED, MOVED
        else:
            self.region = seen.with_margins
            self._tilted = None
            self._generated, self._moved = GENERATED.of(seen, height, width), MOVED.of(self.region, height, width)
        self._edges = Edges(self.region, height, width)

    def __call__(self, fields: Fields) -> Fields:
        """Return the fields of `region` for those of the networks' square. Nothing is generated in the margins."""
        colour, occlusion = fields.generated
        displacement = _with_margins(fields.displacement.float(), "replicate") * (ABOVE / (ABOVE + 1))
        occlusion = _with_margins(self._generated(occlusion.float()), "constant")
        generated = GeneratedPixels(_with_margins(colour.float(), "replicate"), occlusion)
        fields = Fields(self._moved(displacement), generated)
        if self._tilted:
            fields = self._tilted(fields)
        return fields._replace(displacement=self._edges(fields.displacement))


def _with_margins(field: Tensor, mode: str) -> Tensor:
    """Extend a field of a square to `Square.with_margins`."""
    above = field.shape[-1] // ABOVE
    return functional.pad(field, (above // 2, above // 2, above, 0), mode)


def _places(field: Tensor) -> Tensor:
    """Return the middles of a field's pixels along one axis, in half sides from the middle of its square."""
    side = field.shape[-1]
    return (torch.arange(side, device=field.device, dtype=torch.float32) * 2 + 1) / side - 1


def _bounded(towards: Tensor, distance: Tensor) -> Tensor:
    """Bound displacement towards an edge, without a kink, by a share of the distance to it; both in half sides."""
    bound = (STRETCH * distance).clamp_min(1e-6)
    return torch.where(towards > 0, bound * (towards / bound).tanh(), towards)
