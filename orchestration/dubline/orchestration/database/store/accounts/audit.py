"""Writing and reading of audit entries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from sqlalchemy import select, text, tuple_

from dubline.orchestration.database.rows import AuditRow
from dubline.orchestration.domain.audit import AuditAction, AuditEntry, AuditSubject

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy.orm import Session

    from dubline.orchestration.domain.listing import Place

_INSERT: Final = text("""
INSERT INTO audit (id, tenant, actor, action, subject_kind, subject_id, objects)
VALUES (:id, :tenant, :actor, :action, :subject_kind, :subject_id, 0)
""")
_RECORD: Final = text("""
INSERT INTO audit (id, tenant, actor, action, subject_kind, subject_name, detail, objects, completed_at)
VALUES (:id, :tenant, :actor, :action, :subject_kind, :subject_name, CAST(:detail AS jsonb), 0, now())
""")
_SET_OBJECTS: Final = text("""
UPDATE audit SET objects = :objects, completed_at = CASE WHEN :objects = 0 THEN now() END WHERE id = :id
""")
_DELETE_PENDING: Final = text("DELETE FROM doomed_objects WHERE object_key = ANY(:keys) RETURNING audit_id")
_SET_COMPLETED: Final = text("""
UPDATE audit SET completed_at = now()
WHERE id = ANY(:ids) AND completed_at IS NULL
AND NOT EXISTS (SELECT FROM doomed_objects WHERE audit_id = audit.id)
""")


@dataclass(frozen=True, slots=True)
class Entry:
    """An audit entry that is being written."""

    session: Session
    id: UUID

    def close(self, objects: int) -> None:
        """Set the number of objects marked for deletion; if it is 0, the deletion is complete."""
        self.session.execute(_SET_OBJECTS, {"id": self.id, "objects": objects})


def begin(  # noqa: PLR0913, PLR0917 - the columns of an entry
    session: Session,
    audit_id: UUID,
    tenant: str | None,
    actor: str,
    kind: AuditSubject,
    subject_id: UUID | None,
    action: AuditAction = AuditAction.DELETE,
) -> Entry:
    """Insert an entry, before objects are marked for deletion with its id."""
    values = {
        "id": audit_id,
        "tenant": tenant,
        "actor": actor,
        "action": action.value,
        "subject_kind": kind.value,
        "subject_id": subject_id,
    }
    session.execute(_INSERT, values)
    return Entry(session, audit_id)


def record(  # noqa: PLR0913, PLR0917 - the columns of an entry
    session: Session,
    tenant: str,
    actor: str,
    action: AuditAction,
    kind: AuditSubject,
    name: str,
    detail: Mapping[str, object] | None = None,
) -> UUID:
    """Insert an entry about a key or a tenant, which is complete at once; return its id."""
    audit_id = uuid4()
    values = {
        "id": audit_id,
        "tenant": tenant,
        "actor": actor,
        "action": action.value,
        "subject_kind": kind.value,
        "subject_name": name,
        "detail": None if detail is None else json.dumps(detail),
    }
    session.execute(_RECORD, values)
    return audit_id


def complete(session: Session, keys: Collection[str]) -> None:
    """Delete the rows of removed objects, and complete the entries of which no object is pending any more."""
    ids = {found for found in session.scalars(_DELETE_PENDING, {"keys": list(keys)}) if found is not None}
    session.execute(_SET_COMPLETED, {"ids": list(ids)})


def read(session: Session, tenant: str, subject_id: UUID) -> tuple[AuditEntry, ...]:
    """Read the entries about a subject, oldest first."""
    rows = session.scalars(
        select(AuditRow)
        .where(AuditRow.tenant == tenant, AuditRow.subject_id == subject_id)
        .order_by(AuditRow.at, AuditRow.id)
    )
    return tuple(map(_entry_of, rows))


def page(session: Session, tenant: str | None, after: Place | None, limit: int) -> tuple[AuditEntry, ...]:
    """Read entries, oldest first.

    Args:
        session: the transaction.
        tenant: of the entries; None: of all tenants, and of none.
        after: the entry before the page; None: from the beginning.
        limit: maximum number of entries.
    """
    chosen = select(AuditRow).order_by(AuditRow.at, AuditRow.id).limit(limit)
    if tenant is not None:
        chosen = chosen.where(AuditRow.tenant == tenant)
    if after is not None:
        chosen = chosen.where(tuple_(AuditRow.at, AuditRow.id) > (after.created_at, after.id))
    return tuple(map(_entry_of, session.scalars(chosen)))


def _entry_of(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        tenant=row.tenant,
        actor=row.actor,
        action=AuditAction(row.action),
        subject_kind=AuditSubject(row.subject_kind),
        subject_id=row.subject_id,
        subject_name=row.subject_name,
        detail=row.detail,
        objects=row.objects,
        completed_at=row.completed_at,
    )
