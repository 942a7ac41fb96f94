"""The speech of one job, decoded once: samples for the networks and the encoded soundtrack, both on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dubline.worker.media import mux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.worker.media.decoded import Decoded


class SpeechFiles:
    """Two files of one recording.

    Args:
        folder: of the files.
        rate_hz: sample rate of the networks.
    """

    def __init__(self, folder: Path, rate_hz: int) -> None:
        self._samples, self._rate_hz = folder / "speech.f32", rate_hz
        self.soundtrack = folder / "sound.mp4"
        """Encoded soundtrack."""

    def write(self, files: Decoded, duration_s: float, report: Callable[[], None]) -> None:
        """Decode the recording into both files.

        Args:
            files: the decoder.
            duration_s: of the video; the soundtrack is cut to it.
            report: called while waiting; may raise to stop.

        Raises:
            BadInputError: the recording cannot be decoded.
            EncoderFailedError: with ffmpeg's exit code.
        """
        decoding = files.speech(self._rate_hz, mux.AUDIO_HZ)
        with self._samples.open("wb") as file:

            def sound() -> Iterator[NDArray[np.int32]]:
                for part in decoding.parts:
                    if part.dtype == np.float32:
                        file.write(part.tobytes())
                    else:
                        yield part.astype(np.int32, copy=False)

            mux.encode_sound(sound(), decoding.channels, self.soundtrack, duration_s, report)

    def samples(self) -> Iterator[NDArray[np.float32]]:
        """Yield the samples for the networks: (n,) float32 in [-1, 1]; n is the rate, less in the last chunk."""
        with self._samples.open("rb") as file:
            while len(second := np.fromfile(file, np.float32, self._rate_hz)):
                yield second
