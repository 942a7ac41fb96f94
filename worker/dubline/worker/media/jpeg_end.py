"""A JPEG without its end marker: are all pixels there?

A decoder fills what is missing after the last byte without a warning. So the data is completed in two ways that give
different pixels wherever one is missing.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

END: Final = b"\xff\xd9"
#: Coded data that continues a picture that is not complete: enough for a visible change, without a marker.
OTHER_DATA: Final = bytes(range(1, 251, 7)) * 100


def ended(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield two copies of a JPEG with different endings; they decode to equal pixels if none is missing."""
    file.seek(0)
    data = file.read().removesuffix(END[:1])
    for rest in (END, OTHER_DATA + END):
        yield io.BytesIO(data + rest)
