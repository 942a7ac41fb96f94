"""Page cursors: a place in a batch, opaque to the caller and checked when it comes back."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.errors import InvalidRequestError

if TYPE_CHECKING:
    from uuid import UUID

#: Version, a mark of the batch, the position: a cursor of one batch is refused by every other.
_LAYOUT: Final = struct.Struct(">B4sI")
_VERSION: Final = 1


def encode(batch_id: UUID, position: int) -> str:
    """Name the place after `position` (from 0) in the batch."""
    packed = _LAYOUT.pack(_VERSION, batch_id.bytes[-4:], position)
    return base64.urlsafe_b64encode(packed).decode()


def decode(batch_id: UUID, cursor: str) -> int:
    """Read a cursor back into the position that it stands after.

    Raises:
        InvalidRequestError: it is not a cursor of this batch.
    """
    try:
        packed = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        version, mark, position = _LAYOUT.unpack(packed)
    except (UnicodeEncodeError, binascii.Error, struct.error):
        raise _not_ours() from None
    if version != _VERSION or mark != batch_id.bytes[-4:] or position >= 2**31:
        raise _not_ours()
    return int(position)


def _not_ours() -> InvalidRequestError:
    return InvalidRequestError("The cursor is not one of this batch. Start again without a cursor.")
