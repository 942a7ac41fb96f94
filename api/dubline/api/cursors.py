"""Page cursors: an opaque encoding of a position in a batch, or of a place in a list."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from dubline.orchestration.domain.errors import InvalidRequestError
from dubline.orchestration.domain.listing import Place

#: Version, last bytes of the batch id, position. The id makes the cursor of another batch invalid.
_LAYOUT: Final = struct.Struct(">B4sI")
_VERSION: Final = 1
#: Version, microseconds since 1970, id.
_PLACE: Final = struct.Struct(">Bq16s")
_PLACE_VERSION: Final = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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


def encode_place(place: Place) -> str:
    """Encode the place after a row of a list."""
    micros = (place.created_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(_PLACE.pack(_PLACE_VERSION, micros, place.id.bytes)).decode()


def decode_place(cursor: str) -> Place:
    """Decode a cursor to the place before it.

    Raises:
        InvalidRequestError: it is not the cursor of a list.
    """
    try:
        packed = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        version, micros, row_id = _PLACE.unpack(packed)
        if version == _PLACE_VERSION:
            return Place(created_at=_EPOCH + timedelta(microseconds=micros), id=UUID(bytes=row_id))
    except (UnicodeEncodeError, binascii.Error, struct.error, OverflowError):
        pass
    raise InvalidRequestError("The cursor does not belong to this list. Start again without a cursor.")


def _invalid() -> InvalidRequestError:
    return InvalidRequestError("The cursor does not belong to this batch. Start again without a cursor.")
