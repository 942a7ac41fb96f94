"""Given pictures, prepared as the worker does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from PIL import Image

from dubline.framing import face
from dubline.worker.media import frame
from dubline.worker.rendering.portrait import Portrait, prepare

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from dubline.framing.face import FaceBox
    from dubline.models.weights import Networks

CPU = torch.device("cpu")


class Picture(NamedTuple):
    """A picture, the box of its face in px of the still frame, and its portrait."""

    still: NDArray[np.uint8]
    face: FaceBox
    portrait: Portrait


def prepared(networks: Networks, path: Path) -> Picture:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    found = face.find(picture)
    assert found is not None, path
    still = frame.still(picture, None)
    found = frame.face_in_video(found, *picture.size, None)
    return Picture(still, found, prepare(networks, still, found, 0.0, CPU))
