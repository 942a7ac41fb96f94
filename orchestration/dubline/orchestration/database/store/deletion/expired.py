"""Marking of the objects of many expired subjects for deletion, with an audit entry for each subject."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import text

from dubline.orchestration.database.store.pending_deletion import UNLESS_AUDITED
from dubline.orchestration.domain.audit import RETENTION_ACTOR, AuditAction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from dubline.orchestration.domain.audit import AuditSubject

_BEGIN: Final = text("""
INSERT INTO audit (id, tenant, actor, action, subject_kind, subject_id, objects)
SELECT id, tenant, :actor, :action, :kind, subject_id, 0
FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS text[]), CAST(:subjects AS uuid[])) AS given (id, tenant, subject_id)
""")
_MARK: Final = text(f"""
INSERT INTO doomed_objects (object_key, audit_id)
SELECT object_key, audit_id FROM unnest(CAST(:keys AS text[]), CAST(:ids AS uuid[])) AS given (object_key, audit_id)
{UNLESS_AUDITED} RETURNING audit_id
""")  # noqa: S608 - our own text
_CLOSE: Final = text("""
UPDATE audit SET objects = marked.count, completed_at = CASE WHEN marked.count = 0 THEN now() END
FROM unnest(CAST(:ids AS uuid[]), CAST(:counts AS int[])) AS marked (id, count) WHERE audit.id = marked.id
""")


class Subject(NamedTuple):
    """A job, an upload or a batch whose objects have expired."""

    id: UUID
    tenant: str
    keys: Sequence[str]
    """Keys of the objects; no key belongs to two subjects."""


def mark_expired(session: Session, kind: AuditSubject, subjects: Sequence[Subject]) -> None:
    """Mark the objects of subjects for deletion, and insert an audit entry for each subject, in three statements."""
    if not subjects:
        return
    ids = [uuid4() for _ in subjects]
    entries = {
        "ids": ids,
        "tenants": [one.tenant for one in subjects],
        "subjects": [one.id for one in subjects],
        "actor": RETENTION_ACTOR,
        "action": AuditAction.EXPIRE.value,
        "kind": kind.value,
    }
    session.execute(_BEGIN, entries)
    owned = [(key, audit_id) for one, audit_id in zip(subjects, ids, strict=True) for key in one.keys]
    values = {"keys": [key for key, _ in owned], "ids": [audit_id for _, audit_id in owned]}
    marked = Counter(session.scalars(_MARK, values))
    session.execute(_CLOSE, {"ids": ids, "counts": [marked[audit_id] for audit_id in ids]})
