"""The specimen: a picture and a tone that a worker writes to test itself, as a tenant would upload them."""

from __future__ import annotations

import struct
import wave
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

#: The picture is a grey square without a face.
SIDE_PX: Final = 256
GREY: Final = 128
RATE_HZ: Final = 16_000
PITCH_HZ: Final = 100
#: A few frames, and more than the shortest accepted speech.
DURATION_S: Final = 0.25


def portrait(path: Path) -> Path:
    """Write a PNG of one grey; return its path."""
    header = struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, 8, 2, 0, 0, 0)
    # Each row begins with the number of its filter.
    rows = zlib.compress((b"\0" + bytes([GREY]) * 3 * SIDE_PX) * SIDE_PX)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b""))
    return path


def speech(path: Path) -> Path:
    """Write a WAV of a square wave; return its path."""
    half = RATE_HZ // PITCH_HZ // 2
    period = struct.pack("<h", 8000) * half + struct.pack("<h", -8000) * half
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(period * round(PITCH_HZ * DURATION_S))
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
