"""Metadata of an untrusted PNG: texts and oversized profiles are left out before the decoder sees them.

The decoder unpacks every text, and refuses the whole picture if there is much of it. Cameras, editors and generators
of pictures write megabytes of text into pictures that are whole. Of 16 bits the decoder keeps the upper 8 of a pixel,
but the lower 8 of the transparent colour.
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Longest text that is kept: XMP, which may state the orientation, is shorter.
TEXT_BYTES: Final = 1 << 16
#: Longest unpacked colour profile that is kept; a profile of a display or a camera is shorter.
PROFILE_BYTES: Final = 1 << 20

_SIGNATURE_BYTES: Final = 8
_LENGTH_AND_NAME_BYTES: Final = 8
_CHECKSUM_BYTES: Final = 4
#: Bytes from the keyword's end to the compression flag of `iTXt`.
_FLAG_AT: Final = 1
#: Place of the bits of a channel in `IHDR`.
_DEPTH_AT: Final = 8
_DEEP: Final = b"\x10"


def readable(file: BinaryIO) -> BinaryIO:
    """Return a copy of a PNG in memory for the decoder.

    It has no compressed or long texts and no profile that is too long. A transparent colour of 16 bits is rounded to 8.
    """
    file.seek(0)
    kept = io.BytesIO()
    kept.write(file.read(_SIGNATURE_BYTES))
    is_deep = False
    for name, chunk in _chunks(file):
        data = chunk[_LENGTH_AND_NAME_BYTES:-_CHECKSUM_BYTES]
        if name == b"IHDR":
            is_deep = data[_DEPTH_AT : _DEPTH_AT + 1] == _DEEP
        if name == b"tRNS" and is_deep:
            kept.write(_rounded(name, data))
        elif not _is_left_out(name, data):
            kept.write(chunk)
    kept.seek(0)
    return kept


def _rounded(name: bytes, data: bytes) -> bytes:
    """Return a chunk of numbers of 16 bits with their upper 8 bits in place of the lower ones, too."""
    rounded = bytes(byte for upper in data[::2] for byte in (upper, upper))
    checksum = zlib.crc32(name + rounded)
    return len(rounded).to_bytes(4, "big") + name + rounded + checksum.to_bytes(_CHECKSUM_BYTES, "big")


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the bytes of each chunk; the last one may be truncated."""
    while head := file.read(_LENGTH_AND_NAME_BYTES):
        length = int.from_bytes(head[:4], "big")
        yield head[4:8], head + file.read(length + _CHECKSUM_BYTES)


def _is_left_out(name: bytes, data: bytes) -> bool:
    if name == b"zTXt":
        return True
    if name in {b"tEXt", b"iTXt"}:
        flag = data.find(b"\0") + _FLAG_AT
        return len(data) > TEXT_BYTES or (name == b"iTXt" and data[flag : flag + 1] != b"\0")
    return name == b"iCCP" and not _is_short_profile(data)


def _is_short_profile(data: bytes) -> bool:
    """Tell whether a profile can be unpacked and is not longer than `PROFILE_BYTES`."""
    unpacked = zlib.decompressobj()
    packed_at = data.find(b"\0") + 2
    try:
        unpacked.decompress(data[packed_at:], PROFILE_BYTES)
    except zlib.error:
        return False
    return unpacked.eof and data[packed_at - 1 : packed_at] == b"\0"
