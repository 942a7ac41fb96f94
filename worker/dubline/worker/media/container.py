"""The accepted audio containers, identified by their first bytes and never by a file name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Final

from dubline.orchestration.domain.errors import NotAudioError

SNIFF_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Container:
    """One accepted container."""

    name: str
    """Its usual name."""
    demuxer: str
    """Ffmpeg's short name. Each opening of a file forces it, so that a file's bytes cannot select a demuxer."""
    media_type: str
    """IANA media type that is stored for the upload."""
    declared_as: frozenset[str]
    """Media types under which senders declare it."""


WAV: Final = Container(
    "WAV", "wav", "audio/wav", frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})
)
MP3: Final = Container("MP3", "mp3", "audio/mpeg", frozenset({"audio/mpeg", "audio/mp3", "audio/mpeg3", "audio/x-mp3"}))
FLAC: Final = Container("FLAC", "flac", "audio/flac", frozenset({"audio/flac", "audio/x-flac"}))
OGG: Final = Container(
    "Ogg", "ogg", "audio/ogg", frozenset({"audio/ogg", "application/ogg", "audio/opus", "audio/vorbis"})
)
M4A: Final = Container(
    "M4A", "mov", "audio/mp4", frozenset({"audio/mp4", "audio/m4a", "audio/x-m4a", "audio/aac", "video/mp4"})
)
WEBM: Final = Container(
    "WebM",
    "matroska",
    "audio/webm",
    frozenset({"audio/webm", "video/webm", "audio/x-matroska", "video/x-matroska"}),
)
AAC: Final = Container("AAC", "aac", "audio/aac", frozenset({"audio/aac", "audio/aacp", "audio/x-aac"}))

CONTAINERS: Final = (WAV, MP3, FLAC, OGG, M4A, WEBM, AAC)
BY_MEDIA_TYPE: Final = {container.media_type: container for container in CONTAINERS}

_MATROSKA: Final = b"\x1aE\xdf\xa3"
#: Some writers leave this much silence, as zero bytes, before the first MP3 frame.
_MOST_ZEROS: Final = 1 << 16
_MPEG_LAYER_BITS: Final = 0b0110
_MPEG_LAYER_3: Final = 0b0010

_TAG_HEADER_BYTES: Final = 10
_TAG_HAS_FOOTER: Final = 0x10
_MOST_TAGS: Final = 8


def identify(file: BinaryIO) -> Container:
    """Identify the container of a file by its first bytes.

    Raises:
        NotAudioError: no accepted container.
    """
    container = recognise(file)
    if container is None:
        raise NotAudioError
    return container


def recognise(file: BinaryIO) -> Container | None:
    """Identify the container of an open file by the first bytes after its ID3 tags, which may precede any container.

    Args:
        file: at any position.

    Returns:
        The container, or None if it is not accepted.
    """
    start = skip_tags(file)
    found = sniff(file.read(SNIFF_BYTES))
    # Some writers leave a gap after the tag, or zeros without a tag; only MP3 is accepted with such a gap.
    return found or (MP3 if start > 0 or _is_mp3_after_zeros(file) else None)


def _is_mp3_after_zeros(file: BinaryIO) -> bool:
    file.seek(0)
    rest = file.read(_MOST_ZEROS + SNIFF_BYTES).lstrip(b"\0")
    return (rest.startswith(b"ID3") and len(rest) >= SNIFF_BYTES) or sniff(rest) is MP3


def skip_tags(file: BinaryIO) -> int:
    """Move a file past its ID3 tags; return the new position."""
    position = 0
    for _ in range(_MOST_TAGS):
        file.seek(position)
        head = file.read(_TAG_HEADER_BYTES)
        if not head.startswith(b"ID3") or len(head) < _TAG_HEADER_BYTES:
            break
        # Each byte of the size has seven bits, so that the size never contains a frame sync.
        size = sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        footer = _TAG_HEADER_BYTES if head[5] & _TAG_HAS_FOOTER else 0
        position += _TAG_HEADER_BYTES + size + footer
    return file.seek(position)


def sniff(head: bytes) -> Container | None:
    """Identify a container by its magic bytes.

    Args:
        head: the first `SNIFF_BYTES` bytes of the file after its tags.

    Returns:
        The container, or None if it is not accepted.
    """
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return WAV
    if head.startswith(b"fLaC"):
        return FLAC
    if head.startswith(b"OggS"):
        return OGG
    if head[4:8] == b"ftyp":
        return M4A
    if head.startswith(_MATROSKA):
        return WEBM
    return _mpeg_frame(head)


def _mpeg_frame(head: bytes) -> Container | None:
    """Distinguish MPEG audio from AAC by the layer bits after eleven or twelve sync bits."""
    if len(head) < SNIFF_BYTES or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - sync bits
        return None
    layer = head[1] & _MPEG_LAYER_BITS
    if layer == 0:
        return AAC if head[1] & 0xF0 == 0xF0 else None  # noqa: PLR2004 - the twelfth sync bit
    # Layers I and II are not accepted.
    return MP3 if layer == _MPEG_LAYER_3 else None
