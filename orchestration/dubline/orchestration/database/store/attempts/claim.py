"""Claim of the next job: one statement selects it, leases it, opens the attempt and reads what the worker needs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from dubline.options.render import OPTIONS
from dubline.orchestration.database.rows import UploadRow
from dubline.orchestration.database.store.attempts.charges import (
    CHARGED,
    WORKER,
    has_alternative,
    seen,
    times_charged,
)
from dubline.orchestration.database.store.attempts.next_job import next_job, sql_texts
from dubline.orchestration.database.store.fairness.next_row import advance_clock
from dubline.orchestration.database.store.records import options_of, upload_of
from dubline.orchestration.database.store.weights import PUSHED
from dubline.orchestration.domain.fairness import Queue
from dubline.orchestration.domain.jobs import Cause
from dubline.orchestration.domain.leases import Lease
from dubline.orchestration.domain.weights import Pin

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

#: Columns by name: a column added by a newer version must not change the result of a prepared statement.
_UPLOAD: Final = ", ".join(f"uploads.{column.name}" for column in UploadRow.__table__.columns)


@cache
def claim_of(presets: frozenset[str]) -> str:
    """Return the statement of a worker that renders some presets.

    Their names are part of the text: with an array as a parameter, the server would plan the statement at each call.
    """
    return f"""
WITH RECURSIVE {next_job(presets)}, claimed AS (
    UPDATE jobs SET
        state = 'running', stage = 'preparing', progress_percent = 0,
        attempt_count = attempt_count + 1, started_at = coalesce(started_at, now()),
        lease_token = %(token)s, lease_worker = %(worker)s,
        lease_expires_at = now() + make_interval(secs => %(lease_s)s)
    WHERE id = (SELECT id FROM next_job)
        AND NOT EXISTS (SELECT FROM workers WHERE name = {WORKER} AND leaving_until > now())
    RETURNING id AS job_id, order_key AS claimed_key, tenant AS job_tenant, attempt_count AS attempt,
        lease_expires_at AS expires_at, created_at AS accepted_at, traceparent, portrait_upload_id, speech_upload_id,
        weights_sha256, {", ".join(one.column for one in OPTIONS)}
), opened AS (
    INSERT INTO attempts (job_id, number, token, worker, pool, checks_renderer)
    SELECT job_id, attempt, %(token)s, %(worker)s, %(pool)s, true FROM claimed
), clock AS (
    {advance_clock(Queue.RENDER, "(SELECT claimed_key FROM claimed)")}
), known AS (
    SELECT claimed.*, attempt = 1 OR {has_alternative("claimed.job_id", "claimed.preset", WORKER)} AS has_alternative
    FROM claimed
), {seen(f"CAST(ARRAY[{sql_texts(presets)}] AS text[])")}
SELECT known.*, (
        SELECT json_object_agg(cause, times) FROM (
            SELECT cause, {times_charged(WORKER, "known.has_alternative")} AS times FROM attempts
            WHERE attempts.job_id = known.job_id AND {CHARGED} GROUP BY cause
        ) AS counted
    ) AS charged, (SELECT running_jobs FROM tenants WHERE name = known.job_tenant) AS running_limit,
    {PUSHED} AS weights_pushed, {_UPLOAD}
FROM known LEFT JOIN uploads
    ON uploads.tenant = known.job_tenant AND uploads.id IN (known.portrait_upload_id, known.speech_upload_id)
"""  # noqa: S608 - our own text


def lease_of(rows: Sequence[Any], token: UUID) -> Lease | None:
    """Create the lease from the rows of `claim_of`, one row per upload; None if an upload has been deleted."""
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
        alone=not claimed.has_alternative,
        token=token,
        expires_at=claimed.expires_at,
        portrait=portrait,
        speech=speech,
        options=options_of(claimed),
        weights=claimed.weights_sha256 and Pin(claimed.weights_sha256, claimed.weights_pushed),
        accepted_at=claimed.accepted_at,
        traceparent=claimed.traceparent,
    )
