"""Encoding of an MP4: closed H.264 segments, joined by stream copy, and one audio track.

The only importer of ffmpeg-python. A segment begins with a key frame, references no frame outside itself and has no
B-frames, so segments of equal settings can be concatenated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ffmpeg
import imageio_ffmpeg

from dubline.orchestration.domain.errors import EncoderFailedError
from dubline.worker.media import ffmpeg_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

FPS: Final = 25
#: Fixed on every machine, because x264's output depends on it.
THREADS: Final = 2
#: Blocks are not divided, and motion is searched in four directions: three quarters of the time for a twentieth more
#: bytes.
FASTER: Final = "partitions=none:me=dia"
AUDIO_HZ: Final = 48_000
PROTOCOLS: Final = "file,pipe"


def encode_segment(
    frames: Iterable[NDArray[np.uint8]],
    width: int,
    height: int,
    path: Path,
    report: Callable[[], None] = lambda: None,
) -> int:
    """Encode one segment.

    Args:
        frames: I420, (3 height / 2, width) uint8 each, C-contiguous; BT.709 of limited range.
        width: even, px.
        height: even, px.
        path: the MP4 to write.
        report: called while waiting for ffmpeg; may raise to stop.

    Returns:
        The number of frames in the segment.

    Raises:
        EncoderFailedError: with ffmpeg's exit code.
        ScratchFullError: the disk is full.
    """
    video = (
        ffmpeg.input("pipe:0", format="rawvideo", pix_fmt="yuv420p", s=f"{width}x{height}", framerate=FPS)
        # The frames have these properties already; without the names players guess them.
        .filter("setparams", range="tv", colorspace="bt709", color_primaries="bt709", color_trc="bt709")
    )
    output = ffmpeg.output(
        video,
        str(path),
        format="mp4",
        vcodec="libx264",
        preset="veryfast",
        crf=18,
        bf=0,
        g=10 * FPS,
        threads=THREADS,
        video_track_timescale=512 * FPS,
        map_metadata=-1,
        **{"x264-params": FASTER, "flags:v": "+cgop+bitexact", "fflags": "+bitexact"},
    )
    return ffmpeg_process.run(_command(output), frames, report=report)


def encode_sound(
    sound: Iterable[NDArray[np.int32]],
    channels: int,
    path: Path,
    duration_s: float,
    report: Callable[[], None] = lambda: None,
) -> None:
    """Encode the soundtrack.

    It is passed as samples and not as the sender's file: ffmpeg restarts its clock where a file changes its rate or
    layout.

    Args:
        sound: chunks of (n, channels) samples at `AUDIO_HZ`, full scale = 2^31, C-contiguous.
        channels: 1 or 2.
        path: the MP4 to write.
        duration_s: of the video; the soundtrack is cut to it.
        report: called while waiting for ffmpeg; may raise to stop.

    Raises:
        EncoderFailedError: with ffmpeg's exit code.
        ScratchFullError: the disk is full.
    """
    output = ffmpeg.output(
        ffmpeg.input("pipe:0", format="s32le", ar=AUDIO_HZ, ac=channels)["a:0"],
        str(path),
        format="mp4",
        acodec="aac",
        ar=AUDIO_HZ,
        t=f"{duration_s:.6f}",
        map_metadata=-1,
        **{"b:a": "128k", "flags:a": "+bitexact", "fflags": "+bitexact"},
    )
    parts = (part.astype("<i4", copy=False) for part in sound)
    ffmpeg_process.run(_command(output), parts, limit_s=120 + duration_s, report=report)


def join(  # noqa: PLR0913, PLR0917 - two inputs, one output, a callback
    segments: Sequence[Path],
    sound: Path,
    path: Path,
    duration_s: float,
    report: Callable[[], None] = lambda: None,
    mark: str = "",
) -> None:
    """Concatenate segments, add the soundtrack, and write the index first so that browsers can start playback early.

    Args:
        segments: MP4 files of `encode_segment` in order, in one folder.
        sound: file of `encode_sound`.
        path: the MP4 to write, in the folder of the segments.
        duration_s: of the video.
        report: called while waiting for ffmpeg; may raise to stop.
        mark: text of the MP4 tag `comment`; empty: no tag.

    Raises:
        EncoderFailedError: with ffmpeg's exit code.
        ScratchFullError: the disk is full.
    """
    listing = path.with_suffix(".txt")
    listing.write_text("".join(f"file '{segment.name}'\n" for segment in segments))
    video = ffmpeg.input(str(listing), format="concat", protocol_whitelist=PROTOCOLS)["v:0"]
    track = ffmpeg.input(str(sound), protocol_whitelist=PROTOCOLS)["a:0"]
    output = ffmpeg.output(
        video,
        track,
        str(path),
        format="mp4",
        vcodec="copy",
        acodec="copy",
        movflags="+faststart",
        map_metadata=-1,
        **({"metadata": f"comment={mark}"} if mark else {}),
        fflags="+bitexact",
    )
    ffmpeg_process.run(_command(output), limit_s=120 + duration_s, report=report)
    if not path.exists():
        raise EncoderFailedError(f"ffmpeg exited without an error but wrote no video. {ffmpeg_process.ADVICE}")


def _command(output: object) -> list[str]:
    # ffmpeg-python has no types; `compile` returns the argument list.
    quiet = ffmpeg.overwrite_output(output).global_args("-nostdin", "-hide_banner", "-loglevel", "warning")
    return list(ffmpeg.compile(quiet, cmd=imageio_ffmpeg.get_ffmpeg_exe()))
