"""The size that an image header states, read without a decoder: a header of a few bytes can promise any size."""

from __future__ import annotations

from typing import BinaryIO, Final

#: A JPEG's size comes after its metadata, which may be long; a longer file without a size is left to the decoder.
_SEARCHED_SEGMENTS: Final = 1_000
#: Markers of a JPEG frame with a size: SOF0 to SOF15 without the tables DHT, JPG and DAC.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS_SIDE: Final = 0x3FFF


def stated(file: BinaryIO, image_format: str) -> tuple[int, int] | None:
    """Return the width and height in px that the header states; None if it states none.

    Args:
        file: the file, at any position.
        image_format: "PNG", "JPEG", "WEBP" or "AVIF"; opening an AVIF decodes nothing, so its size is read then.
    """
    file.seek(0)
    if image_format == "AVIF":
        return None
    if image_format == "JPEG":
        return _jpeg(file)
    head = file.read(30)
    return _png(head) if image_format == "PNG" else _webp(head)


def _png(head: bytes) -> tuple[int, int] | None:
    if head[12:16] != b"IHDR" or len(head) < 24:  # noqa: PLR2004 - the end of both numbers
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _webp(head: bytes) -> tuple[int, int] | None:
    chunk, data = head[12:16], head[20:30]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & _LOSSLESS_SIDE), 1 + (bits >> 14 & _LOSSLESS_SIDE)
    if chunk == b"VP8 ":
        sides = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
        return sides[0] & _LOSSLESS_SIDE, sides[1] & _LOSSLESS_SIDE
    return None


def _jpeg(file: BinaryIO) -> tuple[int, int] | None:
    position = 2
    for _ in range(_SEARCHED_SEGMENTS):
        file.seek(position)
        head = file.read(9)
        if len(head) < 9 or head[0] != 0xFF:  # noqa: PLR2004 - marker, length, precision, height, width
            return None
        if head[1] in _FRAMES:
            return int.from_bytes(head[7:9], "big"), int.from_bytes(head[5:7], "big")
        # A fill byte may precede a marker.
        position += 1 if head[1] == 0xFF else 2 + int.from_bytes(head[2:4], "big")  # noqa: PLR2004
    return None
