"""Sizes and durations that the headers of audio files state, for telling truncated files from short ones.

A decoder stops at the end of a file without an error, so only the header shows that a file is truncated.
"""

from __future__ import annotations

import os
from typing import BinaryIO, Final

from dubline.worker.media.container import FLAC, M4A, MP3, OGG, WAV, WEBM, Container, skip_tags

#: Programs that write WAV to a pipe cannot determine its size and write a number from 10^9 to 2^32.
_WAV_SIZE_UNKNOWN: Final = 1_000_000_000
_OGG_PAGE_MAX_BYTES: Final = 65_307
_OGG_HEADER_BYTES: Final = 27
_XING_WITHIN_BYTES: Final = 200
#: Flags, number of frames and number of bytes after its name.
_XING_FIELDS_BYTES: Final = 12
_XING_FRAMES: Final = 1
_XING_BYTES: Final = 2
#: The demuxer's tolerance; beyond it the demuxer estimates the duration from the bit rate.
_XING_SLACK: Final = 16


def ends_early(file: BinaryIO, container: Container) -> bool:
    """Return whether the file is certainly shorter than its headers state.

    Args:
        file: the file.
        container: the file's container.
    """
    file.seek(0)
    if container is WAV:
        return _wav_ends_early(file)
    if container is OGG:
        return _ogg_ends_early(file)
    return False


def is_concatenated(file: BinaryIO, container: Container) -> bool:
    """Return whether a WAV is followed by another one, which no demuxer reads.

    Args:
        file: the file.
        container: the file's container.
    """
    file.seek(0)
    if container is not WAV:
        return False
    end = 8 + int.from_bytes(file.read(8)[4:8], "little")
    file.seek(end + end % 2)
    following = file.read(12)
    return following[:4] == b"RIFF" and following[8:12] == b"WAVE"


def states_duration(file: BinaryIO, container: Container) -> bool:
    """Return whether the demuxer's duration was written by the encoder, not estimated from the bit rate.

    Args:
        file: the file.
        container: the file's container.
    """
    if container in (FLAC, M4A, WEBM):
        return True
    return container is MP3 and _mp3_states_duration(file)


def _mp3_states_duration(file: BinaryIO) -> bool:
    start = skip_tags(file)
    first_frame = file.read(_XING_WITHIN_BYTES)
    found = max(first_frame.find(b"Xing"), first_frame.find(b"Info"))
    fields = first_frame[found + 4 :]
    # A word in the sound of another frame may look like the name of the header.
    if found < 0 or len(fields) < _XING_FIELDS_BYTES:
        return False
    flags = int.from_bytes(fields[:4])
    if not flags & _XING_FRAMES:
        return False
    if not flags & _XING_BYTES:
        return True
    stated = int.from_bytes(fields[8:12])
    # A file that is longer than stated is a concatenation; the header covers its first part only.
    return file.seek(0, os.SEEK_END) - start <= stated + stated // _XING_SLACK


def _wav_ends_early(file: BinaryIO) -> bool:
    head = file.read(12)
    stated = int.from_bytes(head[4:8], "little")
    if head[:4] != b"RIFF" or stated >= _WAV_SIZE_UNKNOWN:
        return False
    missing = stated + 8 - file.seek(0, os.SEEK_END)
    # Some writers miscount by a chunk; a truncated recording lacks more.
    return missing > max(512, stated // 100)


def _ogg_ends_early(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - _OGG_PAGE_MAX_BYTES))
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + _OGG_HEADER_BYTES:
        return True
    segments = tail[page + 26]
    table = tail[page + _OGG_HEADER_BYTES : page + _OGG_HEADER_BYTES + segments]
    return start + page + _OGG_HEADER_BYTES + segments + sum(table) > size
