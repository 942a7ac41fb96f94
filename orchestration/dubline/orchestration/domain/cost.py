"""Predicted time of a job on a worker, and of a probe, by which the queues are shared between tenants.

Only the ratios of costs matter. Those of renders were measured on processors (docs/benchmarks.md): the time grows with
the seconds of speech, and with the pixels of the square that is rendered around the face. A close-up at 1080 x 1080
takes about seven times as long as a video of 128 x 128.
"""

from __future__ import annotations

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
#: Seconds of a probe beside the file's bytes.
PROBE_START_S: Final = 1.0
#: Bytes that a prober hashes and decodes in a second: compressed speech, the slowest kind.
PROBE_BYTES_PER_S: Final = 5e6


def render_cost_s(portrait: UploadFacts, speech: UploadFacts, options: RenderOptions) -> float:
    """Predict the seconds for which a job occupies a worker.

    Args:
        portrait: facts of a portrait; without a face box or a size, the square counts as empty.
        speech: facts of a speech track.
        options: of the job.

    Returns:
        At least `LEAST_S`.
    """
    speech_s = speech.duration_s or 0.0
    per_second_s = (
        PRESET_S.get(options.preset, max(PRESET_S.values()))
        + MEGAPIXEL_S * _square_px(portrait, options.output.height_px) / 1e6
    )
    return max(LEAST_S, speech_s * per_second_s)


def probe_cost_s(size_bytes: int) -> float:
    """Predict the seconds for which the probe of a file occupies a prober."""
    return PROBE_START_S + size_bytes / PROBE_BYTES_PER_S


def _square_px(portrait: UploadFacts, height_px: int | None) -> float:
    """Return the pixels of the rendered square in the video."""
    if portrait.face_box is None or not portrait.width_px or not portrait.height_px:
        return 0.0
    left, top, right, bottom = portrait.face_box
    face_px = (right - left + bottom - top) / 2 * scale(portrait.width_px, portrait.height_px, height_px)
    return (face_px * SQUARE_PER_FACE) ** 2
