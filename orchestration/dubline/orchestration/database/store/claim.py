"""Claim of the next job: one statement selects it, leases it, opens the attempt and reads what the worker needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dubline.options.render import OPTIONS
from dubline.orchestration.database.rows import UploadRow
from dubline.orchestration.database.rows.base import sql_list
from dubline.orchestration.database.store.records import options_of, upload_of
from dubline.orchestration.domain.jobs import CLAIMABLE, Cause
from dubline.orchestration.domain.leases import Lease
from dubline.orchestration.domain.retry import CHARGED_OUTCOME, RESET_ON_PROGRESS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

#: Columns by name: a column added by a newer version must not change the result of a prepared statement.
_UPLOAD: Final = ", ".join(f"uploads.{column.name}" for column in UploadRow.__table__.columns)
#: SQL condition on the rows of `attempts` that are charged; `domain.retry` defines the rule.
CHARGED: Final = f"""outcome = '{CHARGED_OUTCOME}' AND (cause NOT IN ({sql_list(RESET_ON_PROGRESS)}) OR number > (
    SELECT coalesce(max(other.number), 0) FROM attempts AS other WHERE other.job_id = attempts.job_id AND other.kept
))"""  # noqa: S608 - our own text
CLAIM: Final = f"""
WITH next_job AS (
    SELECT id FROM jobs
    WHERE state IN ({sql_list(CLAIMABLE)}) AND available_at <= now() AND (deadline_at IS NULL OR deadline_at > now())
    ORDER BY order_key, id LIMIT 1 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE jobs SET
        state = 'running', stage = 'preparing', progress_percent = 0,
        attempt_count = attempt_count + 1, started_at = coalesce(started_at, now()),
        lease_token = %(token)s, lease_worker = %(worker)s,
        lease_expires_at = now() + make_interval(secs => %(lease_s)s)
    WHERE id = (SELECT id FROM next_job)
    RETURNING id AS job_id, tenant AS job_tenant, attempt_count AS attempt, lease_expires_at AS expires_at,
        portrait_upload_id, speech_upload_id, {", ".join(one.column for one in OPTIONS)}
), opened AS (
    INSERT INTO attempts (job_id, number, token, worker) SELECT job_id, attempt, %(token)s, %(worker)s FROM claimed
)
SELECT claimed.*, (
        SELECT json_object_agg(cause, times) FROM (
            SELECT cause, count(*) AS times FROM attempts
            WHERE attempts.job_id = claimed.job_id AND {CHARGED} GROUP BY cause
        ) AS counted
    ) AS charged, {_UPLOAD}
FROM claimed LEFT JOIN uploads
    ON uploads.tenant = claimed.job_tenant AND uploads.id IN (claimed.portrait_upload_id, claimed.speech_upload_id)
"""  # noqa: S608 - our own text


def lease_of(rows: Sequence[Any], token: UUID) -> Lease | None:
    """Create the lease from the rows of `CLAIM`, one row per upload; None if an upload has been deleted."""
    claimed = rows[0]
    uploads = {row.id: upload_of(row) for row in rows if row.id is not None}
    portrait, speech = uploads.get(claimed.portrait_upload_id), uploads.get(claimed.speech_upload_id)
    if portrait is None or speech is None:
        return None
    return Lease(
        job_id=claimed.job_id,
        tenant=claimed.job_tenant,
        attempt=claimed.attempt,
        charged={Cause(cause): count for cause, count in (claimed.charged or {}).items()},
        token=token,
        expires_at=claimed.expires_at,
        portrait=portrait,
        speech=speech,
        options=options_of(claimed),
    )
