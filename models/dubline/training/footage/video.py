"""Reads an untrusted video: upright frames on a 25 fps grid, and speech at 16 kHz mono aligned with them.

Broken packets are skipped, timestamps that run backwards or jump are accepted, and frames of excessive size are refused
before they are decoded.
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
#: Single-file containers and protocols only: a playlist must not open further files.
ONLY_VIDEOS: Final = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi", "protocol_whitelist": "file"}
#: 8K video; a header that claims more is corrupt or malicious.
MOST_PIXELS: Final = 7680 * 4320
MOST_BROKEN_PACKETS: Final = 200
#: Speech of this length takes 0.7 GB.
LONGEST_S: Final = 6 * 3600
#: Longest time for which one frame is shown; further gaps have no frames.
LONGEST_FRAME_S: Final = 0.5
#: Audio timestamps jitter by less; a larger difference is a gap and is filled with silence.
SOUND_GAP: Final = SAMPLE_RATE_HZ // 20
NOTHING: Final = np.zeros(0, np.int16)


class VideoError(ValueError):
    """The video cannot be used; the message is the reason in a few words."""


class Tick(NamedTuple):
    """One frame of the 25 fps grid."""

    number: int
    """Index from the first frame of the file."""
    frame: av.VideoFrame
    start_s: float
    """Timestamp of the first frame."""
    pixel_aspect: float
    """Width of a pixel over its height."""


def ticks(path: Path) -> Iterator[Tick]:
    """Yield the frames on the grid: for each instant the newest frame. Numbers are skipped where no frame is shown.

    Raises:
        VideoError: no video, no sound, too large, or too long.
        av.FFmpegError: the file is not a media file.
    """
    with av.open(str(path), options=ONLY_VIDEOS) as container:
        _check(container)
        shape = float(container.streams.video[0].codec_context.sample_aspect_ratio or 1)
        # Ratios beyond 1 : 3 come from corrupt headers.
        pixel_aspect = shape if 1 / 3 < shape < 3 else 1.0  # noqa: PLR2004
        number, shown_s = 0, 1 / FPS
        before: tuple[float, av.VideoFrame] | None = None
        start_s = 0.0
        for time_s, frame in _forwards(container):
            if before is None:
                start_s = time_s
            else:
                shown_s = min(time_s - before[0], LONGEST_FRAME_S)
                for shown in range(number, _first_from(before[0] + shown_s - start_s)):
                    yield Tick(shown, before[1], start_s, pixel_aspect)
                number = _first_from(time_s - start_s)
            before = time_s, frame
        if before is not None:
            # The file does not contain the last frame's duration: use that of the frame before.
            for shown in range(number, _first_from(before[0] + shown_s - start_s)):
                yield Tick(shown, before[1], start_s, pixel_aspect)


def _check(container: InputContainer) -> None:
    if not container.streams.video:
        raise VideoError("no video")
    if not container.streams.audio:
        # Checked first: face detection over the whole video would take long.
        raise VideoError("no sound")
    video = container.streams.video[0]
    if not 0 < video.codec_context.width * video.codec_context.height <= MOST_PIXELS:
        raise VideoError("pictures too large")
    video.thread_type = "AUTO"


def _forwards(container: InputContainer) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yield frames with their times in seconds; skip those that go back in time."""
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
    """Return the first grid index at or after a time; up to one millisecond early counts as at."""
    return int(np.ceil((time_s - 1e-3) * FPS))


def upright(tick: Tick, longest_px: int | None = None) -> NDArray[np.uint8]:
    """Return a frame with square pixels in the orientation of the camera.

    Args:
        tick: of `ticks`.
        longest_px: if given, the longer side is scaled down to this.

    Returns:
        (H, W, 3) uint8.
    """
    quarter_rotations = round(tick.frame.rotation / 90)
    width, height = shown_size(tick)
    scale = min(1.0, longest_px / max(width, height)) if longest_px else 1.0
    width, height = (
        max(1, round(side * scale)) for side in ((height, width) if quarter_rotations % 2 else (width, height))
    )
    return np.rot90(tick.frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray(), quarter_rotations)


def shown_size(tick: Tick) -> tuple[int, int]:
    """Return width and height of the upright frame, px."""
    width, height = max(1, round(tick.frame.width * tick.pixel_aspect)), tick.frame.height
    return (height, width) if round(tick.frame.rotation / 90) % 2 else (width, height)


def speech(path: Path, start_s: float) -> NDArray[np.int16]:
    """Decode the first audio stream from a timestamp on, as mono at 16 kHz: (N,).

    Raises:
        VideoError: the file has no sound.
        av.FFmpegError: the file is not a media file.
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
                # Audio from before the first frame, or a repeated part.
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
    """Yield the frames of the first stream of a kind; skip packets that cannot be decoded."""
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
