"""A portrait, ready to be animated: the source that the networks see, and the compositor of its frames."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dubline.framing import bars, crop
from dubline.framing.crop import Square
from dubline.framing.tilted import TiltedSquare
from dubline.worker.rendering.colour_frame import ColourFrame
from dubline.worker.rendering.full_size.compositor import Compositor
from dubline.worker.rendering.motion import PreparedSource

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from dubline.framing.face import FaceBox
    from dubline.models.weights import Networks
    from dubline.options.render import MotionControls


class Portrait(NamedTuple):
    """What all frames of one video have in common."""

    source: PreparedSource
    """The encoded crop."""
    compositor: Compositor
    """Of the still frame."""
    head_room: float
    """Share of its motion for which the head has room, at most 1."""

    def possible(self, controls: MotionControls) -> MotionControls:
        """Limit motion controls to what the portrait can show."""
        blink = controls.blink if controls.blink and self.source.can_blink() else 0.0
        return replace(controls, head_motion=controls.head_motion * self.head_room, blink=blink)


def prepare(
    networks: Networks, still: NDArray[np.uint8], face: FaceBox, tilt_deg: float, device: torch.device
) -> Portrait:
    """Cut the face out of a still frame and encode it.

    Args:
        networks: both stages, on the device.
        still: (H, W, 3) uint8 RGB, of even sides.
        face: box in px of the frame.
        tilt_deg: by which the face leans clockwise.
        device: of the networks.
    """
    rows, columns = inside = bars.picture_in(still, face.centre)
    face = face.shifted(-columns.start, -rows.start)
    picture, square = still[inside], crop.around(face)
    tilted = TiltedSquare(square, face.centre, tilt_deg) if tilt_deg else None
    pixels = tilted.cut(picture) if tilted else crop.cut(picture, square)
    colours = ColourFrame.of(pixels)
    source = PreparedSource.from_crop(networks, colours.normalised(pixels), device)
    compositor = Compositor(still, tilted or square, device, colours, inside)
    return Portrait(source, compositor, crop.head_room(face, picture.shape[1]))


def prepare_framed(networks: Networks, picture: NDArray[np.uint8], device: torch.device) -> Portrait:
    """Encode a picture that is framed as in the training clips: (side, side, 3) uint8 RGB, of an even side."""
    colours = ColourFrame.of(picture)
    source = PreparedSource.from_crop(networks, colours.normalised(picture), device)
    return Portrait(source, Compositor(picture, Square(0, 0, len(picture)), device, colours), 1.0)
