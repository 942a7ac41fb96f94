"""Measures a speech track that nobody vouches for: decodes it once, in a stream, and counts what comes out.

The duration kept for an upload is the number of decoded samples over their rate, since headers lie; the
video is made exactly as long as that.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
import numpy as np

from dubline.orchestration.domain.errors import (
    MediaTruncatedError,
    NotAudioError,
    SpeechSilentError,
    SpeechTooLongError,
    SpeechTooShortError,
)
from dubline.worker.media import headers, mixer
from dubline.worker.media.container import M4A, Container, recognise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream

#: Loudest frame of a recording that holds nothing but the noise of a microphone: RMS of -54 dBFS.
SILENCE_RMS: Final = 0.002
RATES_HZ: Final = range(4_000, 384_001)
#: Beyond eight there is no usual order of channels, and no rule for mixing them.
MAX_CHANNELS: Final = 8
#: What the networks hear; the probe listens at the same rate.
HEARD_HZ: Final = 16_000
#: What encoders of the accepted containers write. PCM comes in a dozen layouts.
CODECS: Final = frozenset({"aac", "alac", "flac", "mp3", "mp3float", "opus", "vorbis", "adpcm_ms", "adpcm_ima_wav"})
#: Two frames of AAC at the lowest usual rate.
PADDING_S: Final = 0.13
#: A packet here and there may be damaged; a player skips it and so do we.
MAX_BAD_PACKETS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Track:
    """A speech track that can be used."""

    container: Container
    """What the file is."""
    duration_s: float
    """Decoded samples over their rate."""


def measure(path: Path, shortest_s: float, longest_s: float) -> Track:
    """Decode a speech file from start to end and says how long it is.

    Args:
        path: the file; its name's ending does not matter.
        shortest_s: less than this is too short.
        longest_s: decoding stops as soon as more than this came out.

    Raises:
        NotAudioError: no container or codec that is accepted, or no audio stream in it.
        MediaTruncatedError: the file ends before its headers say, or is damaged.
        SpeechTooShortError: below `shortest_s`.
        SpeechTooLongError: above `longest_s`.
        SpeechSilentError: nothing in it is louder than `SILENCE_RMS`.
    """
    container = identify(path)
    duration_s, loudest = _listen(decode(path, container), longest_s)
    stated_s = _stated_s(path, container)
    if container is M4A and 0 < duration_s - stated_s < PADDING_S:
        # The file says where its last frame's padding begins; not every decoder cuts there.
        duration_s = stated_s
    short_by_s = stated_s - duration_s if headers.states_duration(path, container) else 0.0
    if headers.ends_early(path, container) or short_by_s > max(0.5, 0.02 * stated_s):
        raise _damaged(container)
    if duration_s < shortest_s:
        raise SpeechTooShortError(
            f"The speech lasts {duration_s:.3f} s, but {shortest_s:g} s are needed. Send a longer recording."
        )
    if loudest < SILENCE_RMS:
        raise SpeechSilentError
    return Track(container=container, duration_s=duration_s)


def identify(path: Path) -> Container:
    """Name the container of a file by its first bytes.

    Raises:
        NotAudioError: none that is accepted.
    """
    with path.open("rb") as file:
        container = recognise(file)
    if container is None:
        raise NotAudioError
    return container


def decode(path: Path, container: Container) -> Iterator[AudioFrame]:
    """Decode the first audio stream of a file packet by packet, stepping over a few damaged ones.

    Args:
        path: the file.
        container: what its bytes are; the demuxer is forced to it.

    Yields:
        Frames as they come, in the file's own rate, layout and format.

    Raises:
        NotAudioError: no audio stream, or a codec, a rate or a number of channels that is not accepted.
        MediaTruncatedError: it cannot be opened, or more than `MAX_BAD_PACKETS` are damaged.
    """
    packets = bad = 0
    try:
        with av.open(str(path), format=container.demuxer, metadata_errors="replace") as file:
            for packet in file.demux(_speech_stream(file.streams.audio)):
                packets += 1
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    bad += 1
                    continue
                for frame in frames:
                    _refuse_odd_sound(frame)
                    yield frame
    except av.error.FFmpegError as error:
        raise _damaged(container) from error
    if bad > max(1, MAX_BAD_PACKETS * packets):
        raise _damaged(container)


def _stated_s(path: Path, container: Container) -> float:
    """The duration that the demuxer reports, s; 0 when it does not know."""
    with av.open(str(path), format=container.demuxer, metadata_errors="replace") as file:
        stream = file.streams.audio[0]
        return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0


def _speech_stream(streams: tuple[AudioStream, ...]) -> AudioStream:
    if not streams:
        raise NotAudioError("The file holds no audio track. Send WAV, MP3, FLAC, Ogg or M4A.")
    context = streams[0].codec_context
    # The library's types deny it, but a tag that no decoder answers to leaves no context.
    codec = "of this file" if context is None else context.name
    if codec not in CODECS and not codec.startswith("pcm_"):
        raise NotAudioError(f"The audio codec {codec} is not accepted. Send PCM, MP3, FLAC, Vorbis, Opus or AAC.")
    # One thread: a flood of tiny packets must not become a flood of threads.
    context.thread_count = 1
    return streams[0]


def _listen(frames: Iterator[AudioFrame], longest_s: float) -> tuple[float, float]:
    """Add up the seconds and finds the loudest frame's RMS of what the networks hear, full scale = 1."""
    duration_s = Fraction(0)

    def counted() -> Iterator[AudioFrame]:
        nonlocal duration_s
        for frame in frames:
            duration_s += Fraction(frame.samples, frame.sample_rate)
            if duration_s > longest_s:
                raise SpeechTooLongError(
                    f"The speech is longer than {longest_s:g} s. Split it and send the parts as separate jobs."
                )
            yield frame

    loudest = 0.0
    for part in mixer.mix(counted(), 1, HEARD_HZ):
        samples = mixer.as_floats(part)
        loudest = max(loudest, float(np.sqrt(np.mean(np.square(samples), dtype=np.float64))))
    return float(duration_s), loudest


def _refuse_odd_sound(frame: AudioFrame) -> None:
    channels, rate_hz = frame.layout.nb_channels, frame.sample_rate
    if rate_hz not in RATES_HZ or channels > MAX_CHANNELS:
        raise NotAudioError(
            f"The audio has {channels} channels at {rate_hz} Hz. Send up to {MAX_CHANNELS} channels at "
            f"{RATES_HZ.start} to {RATES_HZ.stop - 1} Hz."
        )


def _damaged(container: Container) -> MediaTruncatedError:
    return MediaTruncatedError(f"The {container.name} file ends early or is damaged. Upload the whole file again.")
