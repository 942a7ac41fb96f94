"""The still frame that a portrait becomes in its video: within 1080 x 1920 or of a chosen height, with even sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from dubline.orchestration.domain.errors import FaceTooSmallError
from dubline.orchestration.domain.video_size import scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dubline.framing.face import FaceBox

#: Narrowest face in a video; the mouth of a smaller one has too few pixels to be animated.
MIN_FACE_PX: Final = 32


def size(width: int, height: int, height_px: int | None = None) -> tuple[int, int]:
    """Return width and height in px, each even, of the video of an upright portrait; arguments as for `scale`."""
    factor = scale(width, height, height_px)
    return max(2, 2 * round(width * factor / 2)), max(2, 2 * round(height * factor / 2))


def face_in_video(face: FaceBox, width: int, height: int, height_px: int | None = None) -> FaceBox:
    """Return the box of a face in the video of an upright portrait; further arguments as for `scale`.

    Raises:
        FaceTooSmallError: the face is narrower than `MIN_FACE_PX` there.
    """
    box = face.scaled(scale(width, height, height_px))
    if box.side < MIN_FACE_PX:
        raise FaceTooSmallError(
            f"The face would be {box.side:.0f} px wide in the video, but {MIN_FACE_PX} px are needed. "
            "Send a larger picture, or one cut closer to the face; where a height was chosen, choose a larger one."
        )
    return box


def still(portrait: Image.Image, height_px: int | None = None) -> NDArray[np.uint8]:
    """Scale an upright RGB portrait to the size of its video, (H, W, 3) uint8."""
    return np.array(scaled(portrait, size(*portrait.size, height_px)), dtype=np.uint8)


def scaled(portrait: Image.Image, target: tuple[int, int]) -> Image.Image:
    """Scale an upright RGB portrait to a width and height in px."""
    return portrait if target == portrait.size else portrait.resize(target, Image.Resampling.LANCZOS)
