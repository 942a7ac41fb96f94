"""A file on its way out, which tells whenever more of it is wanted."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


#: Most that is handed over at once, so that a slow line asks, and is reported, often.
PIECE_BYTES: Final = 1 << 16


class Stopped(BaseException):
    """The report refused to go on; its own error is the cause.

    No Exception, because the HTTP client takes every one of these for a line that broke, and tries again.
    """


class Outgoing(io.FileIO):
    """A file to be read by an HTTP client."""

    def __init__(self, path: Path, report: Callable[[], None]) -> None:
        """Open the file.

        Args:
            path: the file.
            report: called before each piece is handed over; what it raises ends the sending.
        """
        super().__init__(path)
        self._report = report

    def read(self, size: int | None = -1, /) -> bytes:
        """Read the next piece.

        Raises:
            Stopped: the report raised.
        """
        try:
            self._report()
        except Exception as error:
            raise Stopped from error
        return super().read(size if size is None or size < 0 else min(size, PIECE_BYTES)) or b""
