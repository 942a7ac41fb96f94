"""Finished videos on this machine: whether a file is one, and downloads that continue."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, Final

from dubline.client.calls.hashes import file_sha256
from dubline.client.calls.transport import URL_FRESH_S
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dubline.client.calls.responses import Result
    from dubline.client.calls.transport import Transport

if sys.platform != "win32":
    import fcntl

#: Errors of a file system without locks: a network file system that is mounted without them.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


def is_video(path: Path, result: Result) -> bool:
    """Tell whether a file is a finished video, by length and SHA-256.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_file() or result.size_bytes not in {None, path.stat().st_size}:
        return False
    # Videos of older servers have no hash.
    return result.sha256 is None or result.sha256 == file_sha256(path)


def part_of(folder: Path, name: str) -> Path:
    """Return the file of the part of a video that an interrupted download leaves."""
    return folder / f".{name}.part"


def download(transport: Transport, name: str, path: Path, listed: Result | None, read: Callable[[], Result]) -> None:
    """Download a video to `path`, which is replaced when the video is complete.

    An interrupted download leaves `.{name}.part` beside the path; the next one continues it.

    Args:
        transport: sends the requests.
        name: unique name of the video.
        path: the file.
        listed: the result in a list, whose URL may be missing or expired; None: not in a list.
        read: reads the result with a new URL.

    Raises:
        ClientError: the bucket refused it, it is damaged, or another process is downloading it.
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path.parent, name)
    if listed and listed.url and _fill(transport, part, lambda: listed, listed=True):
        part.replace(path)
        return
    if not _fill(transport, part, read):
        # Once more: the URL expired during an outage, or an old part was damaged and is now empty.
        _fill(transport, part, read, last=True)
    part.replace(path)


def _fill(
    transport: Transport, part: Path, read: Callable[[], Result], *, listed: bool = False, last: bool = False
) -> bool:
    """Download the rest of a video; return False if it is to be tried again."""
    result, began_s = read(), time.monotonic()
    with _locked(part) as file:
        continued = file.tell() > 0
        if is_video(part, result):
            return True
        status = transport.get_file(str(result.url), file)
        file.flush()
        if status < HTTPStatus.BAD_REQUEST:
            if is_video(part, result):
                return True
            file.truncate(0)
            fault = "the file does not have the SHA-256 that the server states. Run the command again"
        else:
            continued = status == HTTPStatus.FORBIDDEN and (listed or time.monotonic() - began_s > URL_FRESH_S)
            fault = f"HTTP {status}"
    if last or not continued:
        raise ClientError(f"The download failed: {fault}.")
    return False


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    # Two processes that continue one part would mix their bytes.
    with part.open("ab") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ClientError(f"Another process is downloading to {part}. Wait until it has ended.") from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            if not _is_at(file, part):
                raise ClientError(f"Another process has just downloaded {part}. Run the command again.")
        try:
            yield file
        finally:
            if _is_at(file, part) and not os.fstat(file.fileno()).st_size:
                part.unlink()


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
