"""Faces with known points: frames of rendered clips, and pictures whose points were read by another network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from dubline.framing.faces import BOX_PER_EYES_TO_MOUTH

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.training.corpus import Clip

#: Side of a cut, and what it shows in sides of the face's box: room for shifted and rotated samples.
CUT_PX: Final = 160
CUT_SHOWN: Final = 2.6
#: Of the 68 landmarks: corners of the left eye, of the right eye, tip of the nose, corners of the mouth.
CORNERS: Final = ((36, 39), (42, 45), (30,), (48,), (54,))


@dataclass(frozen=True, slots=True)
class LabelledFaces:
    """Faces of one kind."""

    pictures: NDArray[np.uint8]
    """(N, CUT_PX, CUT_PX, 3) RGB."""
    points: NDArray[np.float32]
    """(N, 5, 2) px, in the order of `framing.points.Reading`."""

    def __len__(self) -> int:
        return len(self.pictures)


def placed(points: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return the centre and the side of the box that the detector would find around five points."""
    eyes, mouth = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
    # From the side the eyes are close together, from above the mouth is close to them.
    length = max(float(np.hypot(*(eyes - mouth))), 0.95 * float(np.hypot(*(points[0] - points[1]))))
    return (eyes + mouth) / 2, BOX_PER_EYES_TO_MOUTH * length


def cut(picture: NDArray[np.uint8], points: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut a face out of a picture; pixels outside it repeat its border."""
    centre, side = placed(points)
    scale = CUT_PX / (CUT_SHOWN * side)
    matrix = np.column_stack([np.eye(2) * scale, CUT_PX / 2 - centre * scale])
    pixels = cv2.warpAffine(picture, matrix, (CUT_PX, CUT_PX), borderMode=cv2.BORDER_REPLICATE)
    return pixels, (points * scale + matrix[:, 2]).astype(np.float32)


def of_clips(clips: Iterable[Clip], per_clip: int) -> LabelledFaces:
    """Cut faces out of rendered clips.

    Args:
        clips: with landmarks; others are passed over.
        per_clip: frames of each, evenly spaced.
    """
    cuts = []
    for clip in clips:
        if clip.landmarks is None:
            continue
        for number in np.linspace(0, len(clip.frames) - 1, per_clip).astype(int):
            landmarks = (clip.landmarks[number] + 1) * clip.frames.shape[1] / 2 - 0.5
            five = np.stack([landmarks[list(corners)].mean(0) for corners in CORNERS])
            cuts.append(cut(clip.frames[number], five.astype(np.float32)))
    return LabelledFaces(np.stack([pixels for pixels, _ in cuts]), np.stack([points for _, points in cuts]))


def of_file(path: Path) -> LabelledFaces:
    """Read cuts that were labelled elsewhere: an .npz with `images` and `points`, of which the first five count."""
    with np.load(path) as arrays:
        return LabelledFaces(arrays["images"], arrays["points"][:, :5].astype(np.float32))
