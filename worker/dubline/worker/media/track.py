"""Measurement of an untrusted speech track: one streaming decode gives its duration and loudness.

The stored duration is the number of decoded samples over their rate, because headers can be wrong. The video has
exactly this duration, rounded up to a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, Final

import av

from dubline.orchestration.domain.errors import (
    NotAudioError,
    SpeechTooLongError,
    SpeechTooShortError,
)
from dubline.worker.media import audio, headers
from dubline.worker.media.container import M4A, WEBM, Container, identify
from dubline.worker.media.loudness import RATE_HZ, Loudness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame

#: Two frames of AAC at the lowest usual rate.
PADDING_S: Final = 0.13


@dataclass(frozen=True, slots=True)
class Track:
    """A usable speech track."""

    container: Container
    """The file's container."""
    duration_s: float
    """Decoded samples over their rate."""


def measure(file: BinaryIO, shortest_s: float, longest_s: float) -> Track:
    """Decode a speech file from start to end and measure it.

    Args:
        file: the file.
        shortest_s: shortest accepted duration.
        longest_s: longest accepted duration; decoding stops beyond it.

    Raises:
        NotAudioError: no accepted container or codec, or no audio stream.
        MediaTruncatedError: the file is shorter than its headers state, or is damaged.
        SpeechTooShortError: the duration is below `shortest_s`.
        SpeechTooLongError: the duration is above `longest_s`.
        SpeechSilentError: there is nothing louder than the noise.
    """
    container = identify(file)
    if headers.is_concatenated(file, container):
        raise NotAudioError("The file holds several WAV files one after the other. Join them to one and send that.")
    duration_s, loudness = _measured(audio.decode(file, container), longest_s)
    stated_s = _stated_s(file, container)
    if container is M4A and 0 < duration_s - stated_s < PADDING_S:
        # The header states where the padding of the last frame begins; not every decoder removes it.
        duration_s = stated_s
    missing_s = stated_s - duration_s if headers.states_duration(file, container) else 0.0
    if headers.ends_early(file, container) or missing_s > max(0.5, 0.02 * stated_s):
        raise audio.damaged(container)
    if duration_s < shortest_s:
        raise SpeechTooShortError(
            f"The speech lasts {duration_s:.3f} s, but {shortest_s:g} s are needed. Send a longer recording."
        )
    loudness.finish()
    return Track(container=container, duration_s=duration_s)


def _stated_s(file: BinaryIO, container: Container) -> float:
    """Return the duration that the demuxer reports, s; 0 if it reports none."""
    with audio.open_file(file, container) as opened:
        if container is WEBM:
            return (opened.duration or 0) / av.time_base
        stream = opened.streams.audio[0]
        return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0


def _measured(frames: Iterator[AudioFrame], longest_s: float) -> tuple[float, Loudness]:
    """Return the duration in s and the loudness."""
    duration_s, loudness = Fraction(0), Loudness()

    def counted() -> Iterator[AudioFrame]:
        nonlocal duration_s
        for frame in frames:
            duration_s += Fraction(frame.samples, frame.sample_rate)
            if duration_s > longest_s:
                raise SpeechTooLongError(
                    f"The speech is longer than {longest_s:g} s. Split it and send the parts as separate jobs."
                )
            yield frame

    for part in audio.mix(counted(), 1, RATE_HZ):
        loudness.update(audio.as_floats(part))
    return float(duration_s), loudness
