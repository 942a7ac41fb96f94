"""The border of the crop: what limits motion and generated pixels towards still pixels and edges of the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.framing.crop import Square
    from dubline.models.stage1.autoencoder import Fields

#: Shares of the side, counted from an edge of the crop: nothing moves before the first, motion is full after the
#: second.
STILL: Final = 0.06
FREE: Final = 0.25
#: Near an edge of the picture, the largest share of the distance to it by which pixels are moved inwards. They are
#: then stretched to at most twice their size; at 1 the edge's pixels would be repeated in streaks.
STRETCH: Final = 0.5


class Fade:
    """Lets motion and generated pixels fall to zero where still pixels adjoin a crop.

    A blend of moved and unmoved pixels would show both.

    Args:
        x: whether still pixels adjoin the left and the right side.
        y: whether still pixels adjoin the upper and the lower side.
    """

    def __init__(self, x: tuple[bool, bool] = (True, True), y: tuple[bool, bool] = (True, True)) -> None:
        self._joins = (x, y)

    @classmethod
    def of(cls, square: Square, height: int, width: int) -> Self:
        """Create it for a crop of a frame: a side on or outside an edge of the frame adjoins no still pixels."""
        x, y = (
            (start > 0, start + square.side < limit) for start, limit in ((square.left, width), (square.top, height))
        )
        return cls(x, y)

    def __call__(self, fields: Fields) -> Fields:
        """Limit the displacement and the occlusion of one batch."""
        generated, displacement = fields.generated, fields.displacement.float()
        occlusion = generated.occlusion * self._weight(generated.occlusion)
        return fields._replace(
            displacement=displacement * self._weight(displacement), generated=generated._replace(occlusion=occlusion)
        )

    def _weight(self, field: Tensor) -> Tensor:
        """Return the share of a field (B, C, h, w) that is kept at each of its pixels: (h, w) in [0, 1]."""
        places, ones = _places(field), field.new_ones(field.shape[-1], dtype=torch.float32)
        x, y = (
            (_rise(1 + places) if first else ones) * (_rise(1 - places) if last else ones)
            for first, last in self._joins
        )
        return y[:, None] * x


class Edges:
    """Limits motion towards the inside of the picture near its edges, because nothing is known beyond them.

    Pixels move freely outwards and along an edge.

    Args:
        square: position of the crop.
        height: of the frame, px.
        width: of the frame, px.
    """

    def __init__(self, square: Square, height: int, width: int) -> None:
        #: For x and y: the edges of the picture, in half sides from the middle of the crop.
        self._edges = [
            (-2 * start / square.side - 1, 2 * (limit - start) / square.side - 1)
            for start, limit in ((square.left, width), (square.top, height))
        ]

    def __call__(self, fields: Fields) -> Fields:
        """Limit the displacement of one batch."""
        displacement = fields.displacement.float()
        places = _places(displacement)
        axes = zip(displacement.unbind(1), (places, places[:, None]), self._edges, strict=True)
        # A pixel that shows what is nearer to an edge moves away from it.
        limited = [_bounded(-_bounded(-axis, at - first), last - at) for axis, at, (first, last) in axes]
        return fields._replace(displacement=torch.stack(limited, 1))


def _places(field: Tensor) -> Tensor:
    """Return the middles of a field's pixels along one axis, in half sides from the middle of the crop."""
    side = field.shape[-1]
    return (torch.arange(side, device=field.device, dtype=torch.float32) * 2 + 1) / side - 1


def _rise(distance: Tensor) -> Tensor:
    """Rise from 0 to 1 with the distance from an edge of the crop, in half sides, without a kink."""
    share = ((distance / 2 - STILL) / (FREE - STILL)).clamp(0, 1)
    return share.square() * (3 - 2 * share)


def _bounded(towards: Tensor, distance: Tensor) -> Tensor:
    """Bound displacement towards an edge, without a kink, by a share of the distance to it; both in half sides."""
    bound = (STRETCH * distance).clamp_min(1e-6)
    return torch.where(towards > 0, bound * (towards / bound).tanh(), towards)
