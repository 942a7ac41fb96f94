"""Somebody's video file as training wants it: upright frames on a 25 fps grid, speech at 16 kHz mono beside them.

The file is not trusted: broken packets are skipped, timestamps that run backwards or leap are put up with, pictures of
absurd size are refused before one is decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import av
import numpy as np

from dubline.training.corpus import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from numpy.typing import NDArray

FPS: Final = 25
#: Containers of one file each: a playlist in a film's clothes must not make the reader open anything else.
ONLY_VIDEOS: Final = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi", "protocol_whitelist": "file"}
#: 8K video; a header that claims more is broken or means harm.
MOST_PIXELS: Final = 7680 * 4320
MOST_BROKEN_PACKETS: Final = 200
#: Sound of so many hours takes 0.7 GB.
LONGEST_S: Final = 6 * 3600
#: Where frames are further apart, nothing is shown in between: no frame stands for so long.
LONGEST_FRAME_S: Final = 0.5
#: Timestamps of sound jitter by less; more is a gap, filled with silence.
SOUND_GAP: Final = SAMPLE_RATE_HZ // 20
NOTHING: Final = np.zeros(0, np.int16)


class VideoError(ValueError):
    """A file that can not be used; the message says why, in a few words."""


class Tick(NamedTuple):
    """One frame of the 25 fps grid.

    number: from the file's first frame on. start_s: the file's time of that one. stretch: a pixel's width in heights.
    """

    number: int
    frame: av.VideoFrame
    start_s: float
    track: float


def ticks(path: Path) -> Iterator[Tick]:
    """The frames on the grid: for each instant the newest one. Numbers are left out where nothing is shown.

    Raises:
        FilmError: no video, no sound, too large, or too long.
        av.FFmpegError: not a media file.
    """
    with av.open(str(path), options=ONLY_VIDEOS) as container:
        _check(container)
        shape = float(container.streams.video[0].codec_context.sample_aspect_ratio or 1)
        # Anything past 1 : 3 is a broken header.
        track = shape if 1 / 3 < shape < 3 else 1.0  # noqa: PLR2004
        number, shown_s = 0, 1 / FPS
        before: tuple[float, av.VideoFrame] | None = None
        start_s = 0.0
        for time_s, frame in _forwards(container):
            if before is None:
                start_s = time_s
            else:
                shown_s = min(time_s - before[0], LONGEST_FRAME_S)
                for shown in range(number, _first_from(before[0] + shown_s - start_s)):
                    yield Tick(shown, before[1], start_s, track)
                number = _first_from(time_s - start_s)
            before = time_s, frame
        if before is not None:
            # Nobody says how long the last frame is shown: as long as the one before it.
            for shown in range(number, _first_from(before[0] + shown_s - start_s)):
                yield Tick(shown, before[1], start_s, track)


def _check(container: InputContainer) -> None:
    if not container.streams.video:
        raise VideoError("no video")
    if not container.streams.audio:
        # Said before an hour of pictures is searched for a face.
        raise VideoError("no sound")
    video = container.streams.video[0]
    if not 0 < video.codec_context.width * video.codec_context.height <= MOST_PIXELS:
        raise VideoError("pictures too large")
    video.thread_type = "AUTO"


def _forwards(container: InputContainer) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frame with their times, s; those that go back in time are left out."""
    first_s = latest_s = None
    for frame in _decode(container, "video"):
        if not isinstance(frame, av.VideoFrame) or frame.time is None or frame.width * frame.height > MOST_PIXELS:
            continue
        if latest_s is not None and frame.time <= latest_s:
            continue
        latest_s = frame.time
        first_s = latest_s if first_s is None else first_s
        if latest_s - first_s > LONGEST_S:
            raise VideoError("longer than six hours")
        yield latest_s, frame


def _first_from(time_s: float) -> int:
    """The first number of the grid at or after a time; a millisecond early counts as at."""
    return int(np.ceil((time_s - 1e-3) * FPS))


def upright(tick: Tick, longest_px: int | None = None) -> NDArray[np.uint8]:
    """A frame as it is meant to be seen: square pixels, turned as the camera was held.

    Args:
        tick: of `ticks`.
        longest_px: scale its longer side down to this.

    Returns:
        (H, W, 3) uint8.
    """
    quarter_turns = round(tick.frame.rotation / 90)
    width, height = shown_size(tick)
    scale = min(1.0, longest_px / max(width, height)) if longest_px else 1.0
    width, height = (
        max(1, round(side * scale)) for side in ((height, width) if quarter_turns % 2 else (width, height))
    )
    return np.rot90(tick.frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray(), quarter_turns)


def shown_size(tick: Tick) -> tuple[int, int]:
    """Width and height of the upright picture, px."""
    width, height = max(1, round(tick.frame.width * tick.track)), tick.frame.height
    return (height, width) if round(tick.frame.rotation / 90) % 2 else (width, height)


def speech(path: Path, start_s: float) -> NDArray[np.int16]:
    """The first sound track, mono at 16 kHz, from a time of the file on: (N,).

    Raises:
        FilmError: the file has no sound.
        av.FFmpegError: not a media file.
    """
    parts: list[NDArray[np.int16]] = []
    with av.open(str(path), options=ONLY_VIDEOS) as container:
        if not container.streams.audio:
            raise VideoError("no sound")
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ)
        position = 0
        for frame in _decode(container, "audio"):
            if not isinstance(frame, av.AudioFrame) or frame.time is None:
                continue
            samples = np.concatenate([part.to_ndarray()[0] for part in resampler.resample(frame)] or [NOTHING])
            gap = round((frame.time - start_s) * SAMPLE_RATE_HZ) - position
            if gap < -SOUND_GAP:
                # From before the picture begins, or said twice.
                samples = samples[-gap:]
            elif gap > SOUND_GAP:
                parts.append(np.zeros(min(gap, LONGEST_S * SAMPLE_RATE_HZ - position), np.int16))
                position += len(parts[-1])
            parts.append(samples)
            position += len(samples)
            if position >= LONGEST_S * SAMPLE_RATE_HZ:
                break
    return np.concatenate([*parts, NOTHING])


def _decode(container: InputContainer, kind: str) -> Iterator[object]:
    """Frames of the first stream of a kind; packets that can not be decoded are skipped."""
    stream = getattr(container.streams, kind)[0]
    broken = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except StopIteration:
            return
        except av.FFmpegError:
            broken += 1
            if broken > MOST_BROKEN_PACKETS:
                raise
            continue
        yield from frames
