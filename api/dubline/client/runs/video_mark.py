"""The mark of a video file: the text in its metadata that names the job. Anybody can write such a text."""

from __future__ import annotations

import mmap
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

#: As written by the worker into the MP4 tag `comment`.
_MARK: Final = re.compile(
    rb"This video is synthetic\. tool=Dubline/[^ ]{1,32} accepted=[0-9TZ:-]{1,32} "
    rb"job=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)


def job_named_in(path: Path) -> str | None:
    """Return the job id in the mark of a file; None without a mark.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = _MARK.search(content)
            return None if found is None else found[1].decode()
