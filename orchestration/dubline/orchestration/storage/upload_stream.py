"""A file stream that reports progress while an HTTP client reads it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


#: Most bytes in one read, so that progress is reported often on a slow connection.
CHUNK_BYTES: Final = 1 << 16


class UploadAbortedError(BaseException):
    """The report raised; its error is the cause.

    This is not an Exception, because the HTTP client treats every Exception as a connection error and retries.
    """


class UploadStream(io.FileIO):
    """A readable file that calls a report before each read."""

    def __init__(self, path: Path, report: Callable[[], None]) -> None:
        """Open the file.

        Args:
            path: the file.
            report: called before each read; an error that it raises ends the upload.
        """
        super().__init__(path)
        self._report = report

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `CHUNK_BYTES`.

        Raises:
            UploadAbortedError: the report raised.
        """
        try:
            self._report()
        except Exception as error:
            raise UploadAbortedError from error
        return super().read(size if size is None or size < 0 else min(size, CHUNK_BYTES)) or b""
