"""Writes rendered frames as a video and measures them on the way: frame differences, sharpness, stills."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
import numpy as np

from dubline.training.evaluation.generation.portrait import boxes_of, follow, sharpness_of
from dubline.training.evaluation.scores.reference import FPS
from dubline.training.evaluation.scores.window_boundary import difference

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.framing.face import FaceBox

#: Quality at which compression artefacts are smaller than those of the networks.
X264: Final = {"crf": "8", "preset": "veryfast"}
STILLS: Final = 7
#: Sharpness is measured on every n-th frame, because face detection takes as long as rendering two frames.
SHARPNESS_EVERY: Final = 5


@dataclass
class WrittenVideo:
    """One written video with its measurements."""

    path: Path
    frames: int = 0
    """Number of frames."""
    differences: list[float] = field(default_factory=list)
    """(T - 1,), mean absolute difference of consecutive frames in grey levels."""
    sharpness: dict[str, list[float]] = field(default_factory=dict)
    """By box, of every `SHARPNESS_EVERY`-th frame; NaN where no face was found."""
    stills: list[NDArray[np.uint8]] = field(default_factory=list)
    """`STILLS` frames spread over the video."""

    def measure_sharpness(self, picture: NDArray[np.uint8], face: FaceBox) -> None:
        """Measure the sharpness of the face at its current position."""
        moved = follow(face, picture)
        values = sharpness_of(picture, moved) if moved else dict.fromkeys(self.sharpness, float("nan"))
        for box, value in values.items():
            self.sharpness[box].append(value)


def write_video(
    path: Path, batches: Iterable[NDArray[np.uint8]], count: int, face: FaceBox | None = None
) -> WrittenVideo:
    """Encode `count` frames, given in batches (t, S, S, 3) with an even side, as H.264.

    Args:
        path: of the video.
        batches: frames, uint8.
        count: number of frames in all.
        face: box of the source's face; if given, sharpness is measured.
    """
    video = WrittenVideo(path, sharpness={box: [] for box in boxes_of(face)} if face else {})
    chosen = set(np.linspace(min(4, count - 1), count - 1, STILLS).round().astype(int).tolist())
    before = None
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", FPS, options=X264)
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, FPS)
        for picture in (picture for batch in batches for picture in batch):
            if before is None:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
            if before is not None:
                video.differences.append(difference(before, picture))
            if face and video.frames % SHARPNESS_EVERY == 0:
                video.measure_sharpness(picture, face)
            if video.frames in chosen:
                video.stills.append(picture)
            before = picture
            video.frames += 1
        container.mux(stream.encode())
    return video
