"""A standard output that is not read."""

from __future__ import annotations

import os
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def unread_output(buffering: int = -1) -> Iterator[None]:
    """Replace the standard output by a pipe whose reader has closed it; `buffering` as of `open`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=buffering) as output, redirect_stdout(output):
        yield
