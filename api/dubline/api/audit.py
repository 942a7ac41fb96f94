"""The route of the audit log. It needs the scope `admin`."""

from __future__ import annotations

from fastapi import APIRouter

from dubline.api import cursors, pages
from dubline.api.auth import Tenant
from dubline.api.schemas.audit import AuditAnswer, AuditPage
from dubline.api.services import ServicesDep
from dubline.orchestration.domain.listing import Page

router = APIRouter(prefix="/v1/audit", tags=["audit"])


@router.get("", summary="Read the audit log")
def list_audit(
    tenant: Tenant, services: ServicesDep, limit: pages.Limit = 100, cursor: pages.Cursor = None
) -> AuditPage:
    """Return entries about the caller's tenant, oldest first. The last page has no `next_cursor`."""
    after = None if cursor is None else cursors.decode_place(cursor)
    entries = services.store.deletions.audit_page(tenant, after, limit + 1)
    page = Page(items=entries[:limit], next_after=entries[limit - 1].place if len(entries) > limit else None)
    return AuditPage(data=[AuditAnswer.of(entry) for entry in page.items], next_cursor=pages.next_cursor(page))
