"""Page cursors: an opaque encoding of a position in a batch."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.errors import InvalidRequestError

if TYPE_CHECKING:
    from uuid import UUID

#: Version, last bytes of the batch id, position. The id makes the cursor of another batch invalid.
_LAYOUT: Final = struct.Struct(">B4sI")
_VERSION: Final = 1


def encode(batch_id: UUID, position: int) -> str:
    """Encode the place after `position` (from 0) in the batch."""
    packed = _LAYOUT.pack(_VERSION, batch_id.bytes[-4:], position)
    return base64.urlsafe_b64encode(packed).decode()


def decode(batch_id: UUID, cursor: str) -> int:
    """Decode a cursor to the position before it.

    Raises:
        InvalidRequestError: the cursor does not belong to this batch.
    """
    try:
        packed = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        version, suffix, position = _LAYOUT.unpack(packed)
    except (UnicodeEncodeError, binascii.Error, struct.error):
        raise _invalid() from None
    if version != _VERSION or suffix != batch_id.bytes[-4:] or position >= 2**31:
        raise _invalid()
    return int(position)


def _invalid() -> InvalidRequestError:
    return InvalidRequestError("The cursor does not belong to this batch. Start again without a cursor.")
