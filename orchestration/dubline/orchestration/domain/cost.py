"""Work of a job and of a probe, in seconds of a processor that was measured.

The time grows with the seconds of speech, and with the pixels of the square that is rendered around the face. A
close-up at 1080 x 1080 takes about seven times as long as a video of 128 x 128 (docs/benchmarks.md). What a job takes
on a given pool of workers is this work times a rate that is learned (`domain.prediction`).
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.video_size import scale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dubline.options.render import RenderOptions
    from dubline.orchestration.domain.uploads import UploadFacts

#: Preset -> seconds of work for each second of speech, whatever the size.
PRESET_S: Final[Mapping[str, float]] = {"base": 0.31, "tiny": 0.16}
#: Further seconds of work for each second of speech and million pixels of the square around the face.
MEGAPIXEL_S: Final = 1.06
#: Side of that square over the side of the face box, as in `framing.crop`.
SQUARE_PER_FACE: Final = 1 / 0.53
#: Least cost of a job: an attempt starts and ends a process of the encoder, however short the speech is.
LEAST_S: Final = 0.5
#: Largest side of the square in each size, in pixels.
SIDES_PX: Final = (256, 512, 1024)
#: Seconds of a probe beside the file's bytes.
PROBE_START_S: Final = 1.0
#: Bytes that a prober hashes and decodes in a second: compressed speech, the slowest kind.
PROBE_BYTES_PER_S: Final = 5e6


class CropSize(StrEnum):
    """Size of the square that is rendered around the face; rates are learned for each."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    HUGE = "huge"


def crop_size(portrait: UploadFacts, options: RenderOptions) -> CropSize:
    """Return the size of the square that a job renders; without a face box or a size, the smallest."""
    side_px = math.sqrt(_square_px(portrait, options))
    return tuple(CropSize)[sum(side_px > limit_px for limit_px in SIDES_PX)]


def render_cost_s(portrait: UploadFacts, speech: UploadFacts, options: RenderOptions) -> float:
    """Return the work of a job: the seconds for which it occupies the processor that was measured.

    Args:
        portrait: facts of a portrait; without a face box or a size, the square counts as empty.
        speech: facts of a speech track.
        options: of the job.

    Returns:
        At least `LEAST_S`.
    """
    speech_s = speech.duration_s or 0.0
    per_second_s = (
        PRESET_S.get(options.preset, max(PRESET_S.values())) + MEGAPIXEL_S * _square_px(portrait, options) / 1e6
    )
    return max(LEAST_S, speech_s * per_second_s)


def probe_cost_s(size_bytes: int) -> float:
    """Predict the seconds for which the probe of a file occupies a prober."""
    return PROBE_START_S + size_bytes / PROBE_BYTES_PER_S


def _square_px(portrait: UploadFacts, options: RenderOptions) -> float:
    """Return the pixels of the rendered square in the video."""
    faces, index = portrait.known_faces, options.face_index or 0
    if index >= len(faces) or not portrait.width_px or not portrait.height_px:
        return 0.0
    left, top, right, bottom = faces[index].box
    ratio = scale(portrait.width_px, portrait.height_px, options.output.height_px)
    face_px = (right - left + bottom - top) / 2 * ratio
    return (face_px * SQUARE_PER_FACE) ** 2
