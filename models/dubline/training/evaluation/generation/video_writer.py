"""Writes a performance as a video and watches it pass: frame differences, sharpness, a few stills. Keeps no frames."""

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

#: So good that only the network's own faults are seen.
X264: Final = {"crf": "8", "preset": "veryfast"}
STILLS: Final = 7
#: Looking for a face takes as long as rendering two.
SHARPNESS_EVERY: Final = 5


@dataclass
class WrittenVideo:
    """One video as it was written.

    frames: how many. differences: (T - 1,) grey levels. sharpness: by box, of every `SHARPNESS_EVERY`-th frame; NaN
    where the face was not found. stills: `STILLS` pictures spread over it.
    """

    path: Path
    frames: int = 0
    differences: list[float] = field(default_factory=list)
    sharpness: dict[str, list[float]] = field(default_factory=dict)
    stills: list[NDArray[np.uint8]] = field(default_factory=list)

    def watch(self, picture: NDArray[np.uint8], face: FaceBox) -> None:
        """Measure how sharp the face is, wherever it has moved to."""
        there = follow(face, picture)
        seen = sharpness_of(picture, there) if there else dict.fromkeys(self.sharpness, float("nan"))
        for box, value in seen.items():
            self.sharpness[box].append(value)


def write_video(
    path: Path, batches: Iterable[NDArray[np.uint8]], count: int, face: FaceBox | None = None
) -> WrittenVideo:
    """Encode `count` pictures, given in batches (t, S, S, 3) with an even side, as H.264; watch the source's face."""
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
                video.watch(picture, face)
            if video.frames in chosen:
                video.stills.append(picture)
            before = picture
            video.frames += 1
        container.mux(stream.encode())
    return video
