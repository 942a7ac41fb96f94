"""The life of uploads: one rule for retention periods, deleted jobs and batches, and uploads that no job names.

An upload is never deleted while a job that is not final names it. Otherwise its life ends at

1. the latest date of the batches with a period that name it; a batch that is not finished has no date yet;
2. else the earliest date of such batches that named it and were deleted, or whose jobs that name it were;
3. else never, if a job names it;
4. else `unused_s` seconds after its creation, or after the deletion of the last job that named it;

in any case not later than the tenant's period after its creation.

`review_at` is a lower bound of that date. Whatever may move the date forward sets it: see `release`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from dubline.orchestration.database.store.deletion import removal

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.orm import Session

_LOCK: Final = text("SELECT id FROM uploads WHERE id = ANY(:ids) AND tenant = :tenant ORDER BY id FOR UPDATE")
_LOCK_FOR_REVIEW: Final = text("""
SELECT id, tenant, review_at FROM uploads
WHERE review_at < now() AND (review_at, id) > (CAST(:review_at AS timestamptz), CAST(:id AS uuid))
ORDER BY review_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
""")
#: The batches that name an upload: one entry of an index for each, since very many jobs may name it. For BETWEEN see
#: `removal`.
_BATCHES_THAT_NAME: Final = """
WITH RECURSIVE named AS (
    (SELECT batch_id FROM jobs WHERE {column} BETWEEN uploads.id AND uploads.id ORDER BY {column}, batch_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT batch_id FROM jobs WHERE ({column}, batch_id) > (uploads.id, named.batch_id) AND {column} <= uploads.id
        ORDER BY {column}, batch_id LIMIT 1
    ) FROM named WHERE named.batch_id IS NOT NULL
) SELECT batch_id FROM named WHERE batch_id IS NOT NULL
"""
_IS_NAMED: Final = """
(
    SELECT true FROM jobs WHERE {column} BETWEEN uploads.id AND uploads.id AND jobs.tenant = uploads.tenant
    ORDER BY {column} LIMIT 1
)
"""
#: Without OFFSET 0 each date would be computed twice. The tenant is locked until the end of the transaction, so that
#: `Tenants.set_retention` finds the uploads with their dates.
_SELECT_ENDS: Final = text(f"""
SELECT id, tenant, ends_at < now() AS ended, NULLIF(ends_at, 'infinity') AS ends_at
FROM (
    SELECT uploads.id, uploads.tenant, LEAST(
        created_at + make_interval(secs => (SELECT inputs_s FROM tenants WHERE name = uploads.tenant FOR KEY SHARE)),
        coalesce(
            (
                SELECT max(coalesce(batches.inputs_expire_at, 'infinity')) FROM batches
                WHERE batches.tenant = uploads.tenant AND batches.inputs_s IS NOT NULL AND batches.id IN (
                    ({_BATCHES_THAT_NAME.format(column="portrait_upload_id")})
                    UNION ({_BATCHES_THAT_NAME.format(column="speech_upload_id")})
                )
            ),
            delete_by,
            CASE WHEN {_IS_NAMED.format(column="portrait_upload_id")} OR {_IS_NAMED.format(column="speech_upload_id")}
                THEN 'infinity' ELSE unused_since + make_interval(secs => unused_s) END
        )
    ) AS ends_at
    FROM uploads WHERE id = ANY(:ids) OFFSET 0
) AS dated
""")  # noqa: S608 - our own text
_SET_REVIEW: Final = text("""
UPDATE uploads SET review_at = given.ends_at
FROM unnest(CAST(:ids AS uuid[]), CAST(:dates AS timestamptz[])) AS given (id, ends_at) WHERE uploads.id = given.id
""")
_SELECT_PROMISE: Final = text("""
SELECT coalesce(inputs_expire_at, now() + make_interval(secs => inputs_s)) FROM batches WHERE id = :batch_id
""")
_RELEASE: Final = text("""
UPDATE uploads SET review_at = now(), unused_since = now(), delete_by = LEAST(delete_by, CASE
    WHEN NOT EXISTS (SELECT FROM jobs WHERE portrait_upload_id = uploads.id AND batch_id = :batch_id)
    AND NOT EXISTS (SELECT FROM jobs WHERE speech_upload_id = uploads.id AND batch_id = :batch_id)
    THEN CAST(:promise AS timestamptz) END)
WHERE id = ANY(:ids)
""")


def lock(session: Session, tenant: str, ids: Collection[UUID]) -> list[UUID]:
    """Lock uploads of a tenant in order of id; return the ids of those that exist."""
    return list(session.scalars(_LOCK, {"ids": list(ids), "tenant": tenant}))


def lock_for_review(session: Session, after: tuple[datetime, UUID], limit: int) -> Sequence[Any]:
    """Lock uploads that are due for review, in the order of their dates.

    Args:
        session: the transaction.
        after: date and id of the upload before the page.
        limit: maximum number of uploads.

    Returns:
        Rows with id, tenant and `review_at`. Uploads that another transaction has locked are left out.
    """
    return session.execute(_LOCK_FOR_REVIEW, {"review_at": after[0], "id": after[1], "limit": limit}).all()


def review(session: Session, ids: Collection[UUID]) -> list[tuple[UUID, str]]:
    """Return id and tenant of the uploads whose life has ended, and set the next review of the others.

    The caller has locked the uploads in an earlier statement, so that this one sees every accepted job.
    """
    unused = removal.unused(session, ids)
    rows = session.execute(_SELECT_ENDS, {"ids": list(ids)}).all()
    kept = [row for row in rows if not row.ended or row.id not in unused]
    session.execute(_SET_REVIEW, {"ids": [row.id for row in kept], "dates": [row.ends_at for row in kept]})
    return [(row.id, row.tenant) for row in rows if row.ended and row.id in unused]


def release(session: Session, ids: Collection[UUID], batch_id: UUID | None) -> None:
    """Record that jobs which named uploads were deleted; the date of their batch is kept as a promise.

    Args:
        session: the transaction. It has locked the uploads and deleted the jobs, but not yet their batch.
        ids: the uploads.
        batch_id: batch of the jobs; None: single jobs.
    """
    promise = None if batch_id is None else session.scalar(_SELECT_PROMISE, {"batch_id": batch_id})
    session.execute(_RELEASE, {"ids": list(ids), "batch_id": batch_id, "promise": promise})
