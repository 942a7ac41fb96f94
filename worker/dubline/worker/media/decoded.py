"""The pixels and samples of a job's two files, decoded by a sandboxed process: the renderer itself decodes neither."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dubline.orchestration.domain.video_size import LONG_SIDE_PX, SHORT_SIDE_PX
from dubline.worker.media import decoder
from dubline.worker.media.audio import Decoding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.worker.media.container import Container
    from dubline.worker.media.decoder import Decoder

#: Bytes of an answer besides pixels and samples.
HEADER_BYTES: Final = 200
#: A decoder that sends more than the probed duration and this is treated as crashed.
SLACK_S: Final = 1.0
_SAMPLE_BYTES: Final = 4


@contextmanager
def started(  # noqa: PLR0913, PLR0917 - two files with their facts, and a callback
    portrait: Path, max_pixels: int, speech: Path, container: Container, duration_s: float, report: Callable[[], None]
) -> Iterator[Decoded]:
    """Start the decoder of one job, and end it with the context.

    Args:
        portrait: the file as uploaded.
        max_pixels: largest accepted product of width and height.
        speech: the file as uploaded.
        container: of the speech.
        duration_s: of the speech.
        report: called while waiting; may raise to stop.
    """
    with decoder.started("decode", [portrait, speech], report) as process:
        yield Decoded(process, max_pixels, container.media_type, duration_s)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The decoder of one job. Each method raises the `BadInputError` for the fault of the file."""

    process: Decoder
    """The decoder."""
    max_pixels: int
    """Largest accepted product of width and height."""
    media_type: str
    """Of the speech."""
    duration_s: float
    """Of the speech."""

    def still(self, height_px: int | None) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """Decode the portrait to the still frame of its video.

        Args:
            height_px: chosen height of the video.

        Returns:
            (H, W, 3) uint8 RGB, and the width and height of the upright portrait in px.
        """
        question = {"what": "still", "max_pixels": self.max_pixels, "height_px": height_px}
        frames = self.process.ask(question, HEADER_BYTES + 3 * SHORT_SIDE_PX * LONG_SIDE_PX)
        header, pixels = _header(frames), b"".join(frames)
        try:
            full_width, full_height, width, height = (int(side) for side in header)
            still = np.frombuffer(pixels, np.uint8).reshape(height, width, 3).copy()
        except (TypeError, ValueError) as error:
            raise decoder.undecodable() from error
        return still, (full_width, full_height)

    def speech(self, rate_hz: int, sound_hz: int) -> Decoding:
        """Decode the speech for the networks and for the video's soundtrack, in bounded memory.

        Args:
            rate_hz: sample rate of the networks.
            sound_hz: sample rate of the soundtrack.
        """
        question = {"what": "speech", "media_type": self.media_type, "rate_hz": rate_hz, "sound_hz": sound_hz}
        a_second = (rate_hz + 2 * sound_hz) * _SAMPLE_BYTES + HEADER_BYTES
        frames = self.process.ask(question, HEADER_BYTES + int((self.duration_s + SLACK_S) * a_second))
        channels = _header(frames)
        if channels not in {1, 2}:
            raise decoder.undecodable()
        return Decoding(channels, (_samples(part, channels) for part in frames))


def _samples(part: bytes, channels: int) -> NDArray[np.float32] | NDArray[np.int32]:
    """Read samples with the name of their type."""
    name, _, data = part.partition(b" ")
    try:
        if name == b"<f4":
            return np.frombuffer(data, "<f4")
        if name == b"<i4":
            return np.frombuffer(data, "<i4").reshape(-1, channels)
    except ValueError as error:
        raise decoder.undecodable() from error
    raise decoder.undecodable()


def _header(frames: Iterator[bytes]) -> Any:
    """Read the first frame of an answer."""
    try:
        return json.loads(next(frames, b""))
    except ValueError as error:
        raise decoder.undecodable() from error
