"""The pixels and samples of a job's two files, decoded by a sandboxed process: the renderer itself decodes neither."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dubline.orchestration.domain.video_size import LONG_SIDE_PX, SHORT_SIDE_PX
from dubline.worker.media import decoder

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

    def samples(self, rate_hz: int) -> Iterator[NDArray[np.float32]]:
        """Decode the speech to mono for the networks, in bounded memory.

        Args:
            rate_hz: sample rate of the result.

        Yields:
            (n,) float32 in [-1, 1]; n is `rate_hz`, less in the last chunk.
        """
        for second in self._speech("samples", rate_hz, 1):
            yield np.frombuffer(second, np.float32)

    def soundtrack(self, rate_hz: int) -> tuple[int, Iterator[NDArray[np.int32]]]:
        """Decode the speech for the video's soundtrack.

        Args:
            rate_hz: sample rate of the result.

        Returns:
            The number of channels, 1 or 2, and chunks of (n, channels) samples, full scale = 2^31.
        """
        frames = self._speech("soundtrack", rate_hz, 2)
        channels = _header(frames)
        if channels not in {1, 2}:
            raise decoder.undecodable()
        return channels, (np.frombuffer(part, np.int32).reshape(-1, channels) for part in frames)

    def _speech(self, what: str, rate_hz: int, channels: int) -> Iterator[bytes]:
        question = {"what": what, "media_type": self.media_type, "rate_hz": rate_hz}
        most_bytes = int((self.duration_s + SLACK_S) * rate_hz) * channels * _SAMPLE_BYTES
        return self.process.ask(question, HEADER_BYTES + most_bytes)


def _header(frames: Iterator[bytes]) -> Any:
    """Read the first frame of an answer."""
    try:
        return json.loads(next(frames, b""))
    except ValueError as error:
        raise decoder.undecodable() from error
