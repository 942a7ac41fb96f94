"""The claim of a share, and the writes of its holder. Each has no effect unless the share is open.

The job is always locked before its shares.
"""

from __future__ import annotations

from typing import Final

from dubline.options.render import OPTIONS
from dubline.orchestration.database.rows import UploadRow
from dubline.orchestration.database.rows.base import sql_list
from dubline.orchestration.database.store.attempts.busy import OPEN_SHARE, shares_of
from dubline.orchestration.database.store.attempts.charges import SEEN_STEP_S, WORKER, failed_by, worker_of
from dubline.orchestration.database.store.weights import PUSHED
from dubline.orchestration.domain.jobs import Cause
from dubline.orchestration.domain.quarantine import BLAMED
from dubline.orchestration.domain.sharing import LARGEST_FAILURES, SEGMENTS_PER_WORKER

#: Causes after which the same worker may help again.
_HARMLESS: Final = sql_list((Cause.SHUTDOWN, Cause.TRANSIENT))
_UPLOAD: Final = ", ".join(f"uploads.{column.name}" for column in UploadRow.__table__.columns)
#: The tenant's limit is the one on its running jobs. The worker itself holds no job and no other share.
_MAY_HELP: Final = f"""
jobs.state = 'running' AND jobs.shared_segments IS NOT NULL AND jobs.lease_expires_at > now()
AND jobs.preset = ANY(%(presets)s) AND jobs.renderer_sha256 = %(renderer_sha256)s
AND {worker_of("jobs.lease_worker")} <> {WORKER} AND NOT {failed_by("jobs.id", WORKER)}
AND NOT EXISTS (
    SELECT FROM shares WHERE shares.job_id = jobs.id AND shares.cause NOT IN ({_HARMLESS})
    AND {worker_of("shares.worker")} = {WORKER}
) AND (
    SELECT count(*) FROM shares WHERE shares.job_id = jobs.id AND shares.cause IN ({sql_list(BLAMED)})
    AND shares.kept_at IS NULL
) < {LARGEST_FAILURES}
AND (tenants.running_jobs IS NULL OR tenants.running_jobs > {shares_of("jobs.tenant", WORKER)} + (
    SELECT count(*) FROM jobs AS others WHERE others.tenant = jobs.tenant AND others.state = 'running'
))
"""  # noqa: S608 - our own text
#: Of the jobs that need help, one with the fewest workers.
CLAIM: Final = f"""
WITH candidate AS (
    SELECT jobs.id FROM jobs JOIN tenants ON tenants.name = jobs.tenant CROSS JOIN LATERAL (
        SELECT 2 + count(*) AS workers FROM shares WHERE shares.job_id = jobs.id AND {OPEN_SHARE}
    ) AS helped CROSS JOIN LATERAL (
        SELECT jobs.shared_segments - count(*) AS segments FROM checkpoints
        WHERE checkpoints.job_id = jobs.id AND checkpoints.kind = 'segment'
    ) AS missing
    WHERE {_MAY_HELP} AND missing.segments >= {SEGMENTS_PER_WORKER} * helped.workers
        AND NOT EXISTS (SELECT FROM workers WHERE name = {WORKER} AND leaving_until > now())
    ORDER BY helped.workers, jobs.order_key, jobs.id LIMIT 1 FOR UPDATE OF jobs SKIP LOCKED
), lost AS (
    UPDATE shares SET ended_at = now() WHERE shares.worker = %(worker)s AND shares.ended_at IS NULL
), claimed AS (
    INSERT INTO shares (token, job_id, worker, pool, lease_expires_at)
    SELECT %(token)s, id, %(worker)s, %(pool)s, now() + make_interval(secs => %(lease_s)s) FROM candidate
    RETURNING job_id, lease_expires_at
), known AS (
    SELECT jobs.id AS job_id, jobs.tenant AS job_tenant, jobs.attempt_count AS attempt,
        claimed.lease_expires_at AS expires_at, jobs.created_at AS accepted_at, jobs.traceparent,
        jobs.portrait_upload_id, jobs.speech_upload_id, jobs.weights_sha256,
        {", ".join(f"jobs.{one.column}" for one in OPTIONS)}
    FROM claimed JOIN jobs ON jobs.id = claimed.job_id
)
SELECT known.*, NULL AS charged, true AS has_alternative, {PUSHED} AS weights_pushed, {_UPLOAD}
FROM known LEFT JOIN uploads
    ON uploads.tenant = known.job_tenant AND uploads.id IN (known.portrait_upload_id, known.speech_upload_id)
"""  # noqa: S608 - our own text
_HELD: Final = """
FROM jobs JOIN shares ON shares.job_id = jobs.id
WHERE shares.token = %(token)s AND shares.ended_at IS NULL AND jobs.finalized_at IS NULL
"""
RENEW: Final = f"""
WITH renewed AS (
    UPDATE shares SET lease_expires_at = now() + make_interval(secs => %(lease_s)s)
    FROM jobs WHERE jobs.id = shares.job_id AND shares.token = %(token)s AND shares.ended_at IS NULL
        AND jobs.finalized_at IS NULL
    RETURNING shares.lease_expires_at, shares.worker
), seen AS (
    UPDATE workers SET seen_at = now() FROM renewed
    WHERE name = {worker_of("renewed.worker")} AND seen_at <= now() - interval '{SEEN_STEP_S} s'
)
SELECT lease_expires_at FROM renewed
"""  # noqa: S608 - our own text
#: `gpu_s` is the sum of this share so far, so a repeated report is not counted twice.
PROGRESS: Final = f"""
WITH held AS (SELECT jobs.id, shares.gpu_s {_HELD}), counted AS (
    UPDATE jobs SET gpu_s = jobs.gpu_s + greatest(0, %(gpu_s)s - held.gpu_s) FROM held
    WHERE jobs.id = held.id AND jobs.finalized_at IS NULL
), reported AS (
    UPDATE shares SET gpu_s = greatest(shares.gpu_s, %(gpu_s)s) FROM held WHERE shares.token = %(token)s
)
SELECT id FROM held
"""  # noqa: S608 - our own text
#: Also of a job that is final: its time is not counted any more.
END: Final = f"""
WITH held AS (SELECT jobs.id, shares.gpu_s {_HELD}), counted AS (
    UPDATE jobs SET gpu_s = jobs.gpu_s + greatest(0, %(gpu_s)s - held.gpu_s) FROM held
    WHERE jobs.id = held.id AND jobs.finalized_at IS NULL
), ended AS (
    UPDATE shares SET ended_at = now(), cause = %(cause)s, gpu_s = greatest(shares.gpu_s, %(gpu_s)s)
    WHERE shares.token = %(token)s AND shares.ended_at IS NULL RETURNING token
)
SELECT token FROM ended
"""  # noqa: S608 - our own text
#: Of claims whose result was lost: nobody works on them.
END_MANY: Final = "UPDATE shares SET ended_at = now() WHERE token = ANY(%(tokens)s) AND ended_at IS NULL"
#: Both rows are locked, so that both are read again after a wait. Attempt 0: no attempt stored it.
SAVE_CHECKPOINT: Final = f"""
WITH held AS (SELECT jobs.id {_HELD} FOR UPDATE), replaced AS (
    SELECT object_key FROM checkpoints JOIN held ON checkpoints.job_id = held.id
    WHERE kind = 'segment' AND number = %(number)s AND object_key <> %(object_key)s
), marked AS (
    INSERT INTO doomed_objects (object_key) SELECT object_key FROM replaced ON CONFLICT DO NOTHING
), progressed AS (
    UPDATE shares SET kept_at = now() FROM held WHERE shares.token = %(token)s
), freed AS (
    DELETE FROM reserved_segments USING held
    WHERE reserved_segments.job_id = held.id AND reserved_segments.number = %(number)s
), saved AS (
    INSERT INTO checkpoints (job_id, kind, number, object_key, size_bytes, sha256, attempt)
    SELECT id, 'segment', %(number)s, %(object_key)s, %(size_bytes)s, %(sha256)s, 0 FROM held
    ON CONFLICT (job_id, kind, number) DO UPDATE SET
        object_key = excluded.object_key, size_bytes = excluded.size_bytes, sha256 = excluded.sha256,
        attempt = excluded.attempt, created_at = excluded.created_at
)
SELECT id FROM held
"""  # noqa: S608 - our own text
