"""The self-test of a renderer: it renders a picture and a tone of its own, through decoder, networks and encoder."""

from __future__ import annotations

import struct
import wave
import zlib
from typing import TYPE_CHECKING, Final

from dubline.framing.face import FaceBox
from dubline.options.render import RenderOptions
from dubline.worker.media.container import WAV
from dubline.worker.rendering.checkpoints import NoCheckpoints
from dubline.worker.rendering.job import RenderJob

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.orchestration.domain.jobs import Stage
    from dubline.worker.rendering.job import Renderer

#: The picture is a grey square; the networks need no face, only a box.
SIDE_PX: Final = 256
FACE: Final = FaceBox(64, 64, 192, 192)
GREY: Final = 128
RATE_HZ: Final = 16_000
#: A few frames.
DURATION_S: Final = 0.2


def run(renderer: Renderer, preset: str, folder: Path, report: Callable[[], None]) -> None:
    """Render a video of a few frames.

    Args:
        renderer: is tested.
        preset: networks that are used.
        folder: empty folder for all files.
        report: called at each step; may raise to stop.

    Raises:
        Exception: whatever the renderer raises.
        RuntimeError: the video is empty.
    """

    def step(_stage: Stage, _percent: float) -> None:
        report()

    job = RenderJob(
        portrait=_portrait(folder / "portrait"),
        portrait_px=SIDE_PX * SIDE_PX,
        face=FACE,
        speech=_speech(folder / "speech"),
        container=WAV,
        duration_s=DURATION_S,
        options=RenderOptions(preset=preset, seed=0),
    )
    rendered = renderer.run(job, folder, step, NoCheckpoints())
    if not rendered.path.stat().st_size:
        raise RuntimeError("the video of the self-test is empty")


def _portrait(path: Path) -> Path:
    """Write a PNG of one grey."""
    header = struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, 8, 2, 0, 0, 0)
    # Each row begins with the number of its filter.
    rows = zlib.compress((b"\0" + bytes([GREY]) * 3 * SIDE_PX) * SIDE_PX)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b""))
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _speech(path: Path) -> Path:
    """Write a WAV of a square wave of 100 Hz."""
    half = RATE_HZ // 200
    period = struct.pack("<h", 8000) * half + struct.pack("<h", -8000) * half
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(period * round(100 * DURATION_S))
    return path
