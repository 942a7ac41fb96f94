"""Decoding, mixing and resampling of speech: the only module of the worker that turns an audio file into samples.

Concatenated recordings, as some text-to-speech programs write them, change their rate, layout or format within a file.
The prober, the networks and the video's soundtrack all read a file through `decode` and `mix`, so such a file has the
same samples and the same duration for all three.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import av
import av.subtitles.codeccontext  # PyAV imports these late, and the sandbox allows no import
import av.subtitles.stream
import av.video.codeccontext
import numpy as np
from av import AudioResampler

from dubline.orchestration.domain.errors import MediaTruncatedError, NotAudioError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from numpy.typing import NDArray

    from dubline.worker.media.container import Container

#: Sample rates that are accepted.
RATES_HZ: Final = range(4_000, 384_001)
#: Layouts with more channels have no standard order and no standard weights for mixing.
MAX_CHANNELS: Final = 8
#: Codecs that encoders write into the accepted containers; PCM is matched by its prefix, because it has many variants.
CODECS: Final = frozenset({"aac", "alac", "flac", "mp3", "mp3float", "opus", "vorbis", "adpcm_ms", "adpcm_ima_wav"})
#: Largest share of damaged packets. Media players skip damaged packets too.
MAX_BAD_PACKETS: Final = 0.05
#: Share of the louder channel's energy that the mean of two channels has at least; below it they cancel each other.
MIN_MEAN_SHARE: Final = 0.02
LAYOUTS: Final = {1: "mono", 2: "stereo"}
FULL_SCALE: Final = 2.0**31


def open_file(file: BinaryIO, container: Container) -> InputContainer:
    """Open an audio file from its start, with the demuxer of its container."""
    file.seek(0)
    return av.open(file, mode="r", format=container.demuxer, metadata_errors="replace")


def decode(file: BinaryIO, container: Container) -> Iterator[AudioFrame]:
    """Decode the first audio stream of a file packet by packet, and skip a few damaged packets.

    Args:
        file: the file.
        container: the file's container; the demuxer is forced to it.

    Yields:
        Frames in the file's own rate, layout and format.

    Raises:
        NotAudioError: no audio stream, or a codec, sample rate or channel count that is not accepted.
        MediaTruncatedError: the file cannot be opened, or more than `MAX_BAD_PACKETS` of its packets are damaged.
    """
    packets = bad = 0
    try:
        with open_file(file, container) as opened:
            for packet in opened.demux(_speech_stream(opened.streams.audio)):
                packets += 1
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    bad += 1
                    continue
                for frame in frames:
                    _check_shape(frame)
                    yield frame
    except av.error.FFmpegError as error:
        raise damaged(container) from error
    if bad > max(1, MAX_BAD_PACKETS * packets):
        raise damaged(container)


def mix(frames: Iterable[AudioFrame], channels: int, rate_hz: int) -> Iterator[NDArray[np.int32]]:
    """Mix and resample frames. Their timestamps are ignored: samples follow one another without gaps.

    Args:
        frames: of `decode`.
        channels: 1 or 2.
        rate_hz: sample rate of the result.

    Yields:
        (n, channels) samples, full scale = 2^31, n >= 1.

    Raises:
        NotAudioError: the layout or rate of a frame cannot be mixed.
    """
    resampler: AudioResampler | None = None
    shape = None
    for frame in frames:
        found = (frame.sample_rate, frame.layout.name, frame.format.name)
        if resampler is None or found != shape:
            yield from _resample(resampler, None, channels)
            # For integer formats alone the mixer scales its weights so that their sum cannot clip.
            resampler = AudioResampler(format="s32", layout=LAYOUTS[channels], rate=rate_hz)
            shape = found
        audible = _without_cancellation(frame) if channels == 1 else frame
        audible.pts = None
        yield from _resample(resampler, audible, channels)
    yield from _resample(resampler, None, channels)


def as_floats(mono: NDArray[np.int32]) -> NDArray[np.float32]:
    """Convert samples of one channel, (n, 1), to (n,) in [-1, 1]."""
    return mono.reshape(-1).astype(np.float32) / np.float32(FULL_SCALE)


def samples(file: BinaryIO, container: Container, rate_hz: int) -> Iterator[NDArray[np.float32]]:
    """Decode speech to mono for the networks, in bounded memory.

    Args:
        file: a probed file.
        container: the file's container.
        rate_hz: sample rate of the result.

    Yields:
        (n,) float32 in [-1, 1]; n is `rate_hz`, less in the last chunk.

    Raises:
        MediaTruncatedError: the file cannot be decoded.
        NotAudioError: the file cannot be mixed.
    """
    return _seconds(mix(decode(file, container), 1, rate_hz), rate_hz)


def _seconds(parts: Iterable[NDArray[np.int32]], rate_hz: int) -> Iterator[NDArray[np.float32]]:
    waiting: list[NDArray[np.float32]] = []
    count = 0
    for part in parts:
        waiting.append(as_floats(part))
        count += len(part)
        if count >= rate_hz:
            whole = np.concatenate(waiting)
            for start in range(0, count - rate_hz + 1, rate_hz):
                yield whole[start : start + rate_hz]
            waiting = [whole[count - count % rate_hz :]]
            count %= rate_hz
    if count:
        yield np.concatenate(waiting)


class Decoding(NamedTuple):
    """Speech that is decoded once, for the networks and for the video's soundtrack."""

    channels: int
    """Of the soundtrack: 1 if the recording begins in mono, else 2."""
    parts: Iterator[NDArray[np.float32] | NDArray[np.int32]]
    """Samples for the networks, as of `samples`, and between them those of the soundtrack, (n, channels) int32."""


def both(file: BinaryIO, container: Container, rate_hz: int, sound_hz: int) -> Decoding:
    """Decode speech for the networks and for the soundtrack at once, in bounded memory.

    Args:
        file: a probed file.
        container: the file's container.
        rate_hz: sample rate of the networks.
        sound_hz: sample rate of the soundtrack.

    Raises:
        MediaTruncatedError: the file cannot be decoded; raised by `parts` too.
        NotAudioError: the file cannot be mixed; raised by `parts` too.
    """
    frames = decode(file, container)
    first = next(frames, None)
    if first is None:
        return Decoding(1, iter(()))
    channels = 1 if first.layout.nb_channels == 1 else 2
    return Decoding(channels, _interleaved(itertools.chain([first], frames), channels, rate_hz, sound_hz))


def _interleaved(
    frames: Iterable[AudioFrame], channels: int, rate_hz: int, sound_hz: int
) -> Iterator[NDArray[np.float32] | NDArray[np.int32]]:
    read = used = 0

    def counted(whole: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
        nonlocal read
        for frame in whole:
            read += 1
            yield frame

    def followed(same: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
        nonlocal used
        for frame in same:
            used += 1
            yield frame

    def caught_up() -> Iterator[NDArray[np.int32]]:
        while used < read and (part := next(sound, None)) is not None:
            yield part

    leading, following = itertools.tee(frames)
    sound = mix(followed(following), channels, sound_hz)
    for second in _seconds(mix(counted(leading), 1, rate_hz), rate_hz):
        yield second
        # The mixer of the soundtrack gets the frames that the other one has had, so few are held.
        if parts := list(caught_up()):
            yield np.concatenate(parts)
    if rest := list(sound):
        yield np.concatenate(rest)


def damaged(container: Container) -> MediaTruncatedError:
    """Make the error for a file that ends early or is damaged."""
    return MediaTruncatedError(f"The {container.name} file ends early or is damaged. Upload the whole file again.")


def _speech_stream(streams: tuple[AudioStream, ...]) -> AudioStream:
    if not streams:
        raise NotAudioError("The file holds no audio track. Send WAV, MP3, FLAC, Ogg, M4A or WebM.")
    context = streams[0].codec_context
    # PyAV's types exclude it, but a codec tag without a decoder gives no context.
    codec = "of this file" if context is None else context.name
    if codec not in CODECS and not codec.startswith("pcm_"):
        raise NotAudioError(f"The audio codec {codec} is not accepted. Send PCM, MP3, FLAC, Vorbis, Opus or AAC.")
    # One thread: a file of many tiny packets must not start many threads.
    context.thread_count = 1
    return streams[0]


def _check_shape(frame: AudioFrame) -> None:
    channels, rate_hz = frame.layout.nb_channels, frame.sample_rate
    if rate_hz not in RATES_HZ or channels > MAX_CHANNELS:
        raise NotAudioError(
            f"The audio has {channels} channels at {rate_hz} Hz. Send up to {MAX_CHANNELS} channels at "
            f"{RATES_HZ.start} to {RATES_HZ.stop - 1} Hz."
        )


def _without_cancellation(frame: AudioFrame) -> AudioFrame:
    """Return a stereo frame whose channels cancel in the mean with one of them in both; others unchanged."""
    if frame.layout.nb_channels != 2:  # noqa: PLR2004
        return frame
    values = frame.to_ndarray()
    sides = values if frame.format.is_planar else values.reshape(-1, 2).T
    zero = 128 if values.dtype == np.uint8 else 0
    waves = sides.astype(np.float64) - zero
    energies = np.square(waves).sum(axis=1)
    if np.square(waves.mean(axis=0)).sum() >= MIN_MEAN_SHARE * energies.max():
        return frame
    # Of channels as loud as each other always the first: a change between frames would turn the wave upside down.
    louder = np.repeat(sides[[int(energies[1] > 2 * energies[0])]], 2, axis=0)
    both: Any = louder if frame.format.is_planar else np.ascontiguousarray(louder.T).reshape(1, -1)
    audible = av.AudioFrame.from_ndarray(both, format=frame.format.name, layout=frame.layout.name)
    audible.sample_rate = frame.sample_rate
    return audible


def _resample(resampler: AudioResampler | None, frame: AudioFrame | None, channels: int) -> Iterator[NDArray[np.int32]]:
    """Resample one frame, or flush the resampler if `frame` is None."""
    if resampler is None:
        return
    try:
        parts = resampler.resample(frame)
    except (av.error.FFmpegError, ValueError) as error:
        raise NotAudioError(
            "The audio's channels or sample rate cannot be mixed. Send mono or stereo at a usual rate."
        ) from error
    for part in parts:
        if part.samples:
            yield part.to_ndarray().astype(np.int32, copy=False).reshape(-1, channels)
