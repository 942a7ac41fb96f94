"""Taking the next job: one statement picks it, leases it, opens the attempt and reads all that a worker needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dubline.options.render import OPTIONS
from dubline.orchestration.database.rows import UploadRow
from dubline.orchestration.database.rows.base import sql_list
from dubline.orchestration.database.store.records import options_of, upload_of
from dubline.orchestration.domain.jobs import CLAIMABLE, Cause
from dubline.orchestration.domain.leases import Lease
from dubline.orchestration.domain.retry import RESET_ON_PROGRESS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

#: By name: a column that a newer version adds must not change what a prepared statement gives.
_UPLOAD: Final = ", ".join(f"uploads.{column.name}" for column in UploadRow.__table__.columns)
#: SQL condition on attempts that count against a budget (see `domain.retry`).
CHARGED: Final = f"""outcome = 'retried' AND (cause NOT IN ({sql_list(RESET_ON_PROGRESS)}) OR number > coalesce((
    SELECT max(earlier.number) FROM attempts AS earlier WHERE earlier.job_id = attempts.job_id AND earlier.kept
), 0))"""  # noqa: S608 - our own text
CLAIM: Final = f"""
WITH best AS (
    SELECT id FROM jobs
    WHERE state IN ({sql_list(CLAIMABLE)}) AND available_at <= now() AND (deadline_at IS NULL OR deadline_at > now())
    ORDER BY order_key, id LIMIT 1 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE jobs SET
        state = 'running', stage = 'preparing', progress_percent = 0,
        attempt_count = attempt_count + 1, started_at = coalesce(started_at, now()),
        lease_token = %(token)s, lease_worker = %(worker)s,
        lease_expires_at = now() + make_interval(secs => %(lease_s)s)
    WHERE id = (SELECT id FROM best)
    RETURNING id AS job_id, tenant AS job_tenant, attempt_count AS attempt, lease_expires_at AS expires_at,
        portrait_upload_id, speech_upload_id, {", ".join(one.column for one in OPTIONS)}
), begun AS (
    INSERT INTO attempts (job_id, number, token, worker) SELECT job_id, attempt, %(token)s, %(worker)s FROM taken
)
SELECT taken.*, (
        SELECT json_object_agg(cause, times) FROM (
            SELECT cause, count(*) AS times FROM attempts
            WHERE attempts.job_id = taken.job_id AND {CHARGED} GROUP BY cause
        ) AS counted
    ) AS charged, {_UPLOAD}
FROM taken LEFT JOIN uploads ON uploads.id IN (taken.portrait_upload_id, taken.speech_upload_id)
"""  # noqa: S608 - our own text


def lease_of(rows: Sequence[Any], token: UUID) -> Lease | None:
    """Make the lease of what `CLAIM` gave, a row for each upload; None where an upload is gone."""
    taken = rows[0]
    uploads = {row.id: upload_of(row) for row in rows if row.id is not None}
    portrait, speech = uploads.get(taken.portrait_upload_id), uploads.get(taken.speech_upload_id)
    if portrait is None or speech is None:
        return None
    return Lease(
        job_id=taken.job_id,
        tenant=taken.job_tenant,
        attempt=taken.attempt,
        charged={Cause(cause): count for cause, count in (taken.charged or {}).items()},
        token=token,
        expires_at=taken.expires_at,
        portrait=portrait,
        speech=speech,
        options=options_of(taken),
    )
