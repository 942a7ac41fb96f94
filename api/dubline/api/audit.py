"""The route of the audit log. It needs the scope `admin`."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query

from dubline.api.auth import Tenant
from dubline.api.schemas.audit import AuditAnswer, AuditPage
from dubline.api.services import ServicesDep
from dubline.orchestration.domain.errors import InvalidRequestError

router = APIRouter(prefix="/v1/audit", tags=["audit"])

#: Entries on a page, at most.
PAGE_LIMIT: Final = 500
#: Microseconds since 1970 and id of the last entry of a page.
_LAYOUT: Final = struct.Struct(">q16s")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the previous page.")]
Limit = Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Entries on the page.")]


@router.get("", summary="Read the audit log")
def list_audit(tenant: Tenant, services: ServicesDep, cursor: Cursor = None, limit: Limit = 100) -> AuditPage:
    """Return entries about the caller's tenant, oldest first. The last page has no `next_cursor`."""
    after = None if cursor is None else _decode(cursor)
    entries = services.store.deletions.audit_page(tenant, after, limit + 1)
    page = entries[:limit]
    more = len(entries) > limit
    return AuditPage(
        data=[AuditAnswer.of(entry) for entry in page],
        next_cursor=_encode(page[-1].at, page[-1].id) if more else None,
    )


def _encode(at: datetime, entry_id: UUID) -> str:
    packed = _LAYOUT.pack((at - _EPOCH) // _MICROSECOND, entry_id.bytes)
    return base64.urlsafe_b64encode(packed).decode()


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        micros, identifier = _LAYOUT.unpack(base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True))
        return _EPOCH + micros * _MICROSECOND, UUID(bytes=identifier)
    except (UnicodeEncodeError, binascii.Error, struct.error, OverflowError):
        raise InvalidRequestError("The cursor is not one of the audit log. Start again without a cursor.") from None
