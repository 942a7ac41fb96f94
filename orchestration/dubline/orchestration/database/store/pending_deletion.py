"""Marking of objects for deletion, in the transaction that deletes the last row that refers to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

#: An object that is already pending is counted by the first deletion with an audit entry.
UNLESS_AUDITED: Final = """
ON CONFLICT (object_key) DO UPDATE SET audit_id = excluded.audit_id
    WHERE doomed_objects.audit_id IS NULL AND excluded.audit_id IS NOT NULL
"""
_MARK: Final = text(f"""
INSERT INTO doomed_objects (object_key, audit_id)
SELECT DISTINCT object_key, CAST(:audit_id AS uuid) FROM unnest(CAST(:keys AS text[])) AS object_key
{UNLESS_AUDITED} RETURNING 1
""")  # noqa: S608 - our own text
_MARK_CHECKPOINTS: Final = text(f"""
WITH deleted AS (DELETE FROM checkpoints WHERE job_id = ANY(:job_ids) AND kind = ANY(:kinds) RETURNING object_key)
INSERT INTO doomed_objects (object_key, audit_id) SELECT object_key, CAST(:audit_id AS uuid) FROM deleted
{UNLESS_AUDITED} RETURNING 1
""")  # noqa: S608 - our own text

ALL_KINDS: Final = ("motion", "segment")


def mark_for_deletion(session: Session, keys: Iterable[str], audit_id: UUID | None = None) -> int:
    """Mark objects for deletion by the cleaner.

    Args:
        session: session of the caller's transaction.
        keys: keys of the objects.
        audit_id: audit entry that counts the objects.

    Returns:
        Number of objects that were marked, or that were already pending and are now counted by this entry.
    """
    return len(session.execute(_MARK, {"keys": list(keys), "audit_id": audit_id}).all())


def mark_checkpoints_for_deletion(
    session: Session, job_ids: Sequence[UUID], audit_id: UUID | None = None, kinds: Sequence[str] = ALL_KINDS
) -> int:
    """Delete the rows of checkpoints and mark their objects for deletion.

    The caller has locked the jobs in an earlier statement.

    Returns:
        As for `mark_for_deletion`.
    """
    values = {"job_ids": list(job_ids), "kinds": list(kinds), "audit_id": audit_id}
    return len(session.execute(_MARK_CHECKPOINTS, values).all())
