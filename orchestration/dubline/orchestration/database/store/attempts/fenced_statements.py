"""Fenced statements: the writes of a worker. Each has no effect unless the fencing token of its attempt is valid."""

from __future__ import annotations

from typing import Final

from dubline.orchestration.database.store.attempts.charges import SEEN_STEP_S, worker_of
from dubline.orchestration.database.store.attempts.finalize import RECORDED, RETURNED, UNLEASED
from dubline.orchestration.database.store.attempts.learning import LEARNED

#: Each claim creates a new token, so a job that still has the token has not been claimed since. `gpu_s` is the sum of
#: this attempt so far, so a repeated report is not counted twice.
_FENCED_UPDATE: Final = """
WITH updated AS (
    UPDATE jobs SET {changes}, gpu_s = jobs.gpu_s + greatest(0, %(gpu_s)s - held.gpu_s)
    FROM attempts AS held
    WHERE held.token {held} AND jobs.id = held.job_id AND jobs.lease_token = held.token
    RETURNING {returned}, held.token
), reported AS (
    UPDATE attempts SET gpu_s = greatest(attempts.gpu_s, %(gpu_s)s) {attempt}
    FROM updated WHERE attempts.token = updated.token
) {more}
SELECT id FROM updated
"""
_FINALIZE: Final = f", finalized AS (SELECT {RETURNED.replace('jobs.', '')} FROM updated), {RECORDED}"  # noqa: S608 - our own text
_NOTIFY: Final = """, notified AS (
    INSERT INTO outbox (task, count) SELECT 'render', count(*) FROM updated HAVING count(*) > 0
)"""
#: Locked until the end of the statement, so that `Tenants.set_retention` finds the job with its date.
_RESULT_RETENTION_S: Final = """
SELECT LEAST(tenants.results_s, batches.results_s)
FROM tenants LEFT JOIN batches ON batches.id = jobs.batch_id WHERE tenants.name = jobs.tenant
FOR KEY SHARE OF tenants
"""
_ATTEMPT_ERROR: Final = "cause = %(cause)s, error_code = %(code)s, error_detail = %(detail)s"


def _fenced_update(changes: str, attempt: str = "", more: str = "", held: str = "= %(token)s") -> str:
    return _FENCED_UPDATE.format(changes=changes, attempt=attempt, more=more, held=held, returned=RETURNED)


RENEW: Final = f"""
WITH renewed AS (
    UPDATE jobs SET lease_expires_at = now() + make_interval(secs => %(lease_s)s)
    WHERE id = %(job_id)s AND lease_token = %(token)s RETURNING lease_expires_at, lease_worker
), seen AS (
    UPDATE workers SET seen_at = now() FROM renewed
    WHERE name = {worker_of("lease_worker")} AND seen_at <= now() - interval '{SEEN_STEP_S} s'
)
SELECT lease_expires_at FROM renewed
"""  # noqa: S608 - our own text
PROGRESS: Final = _fenced_update("stage = %(stage)s, progress_percent = %(percent)s")
#: A worker that finishes a job is not defective. Most workers have no failure, and then no row is written.
_RECOVERED: Final = f""", recovered AS (
    UPDATE workers SET failure_count = 0 FROM updated JOIN attempts ON attempts.token = updated.token
    WHERE workers.name = {worker_of("attempts.worker")} AND workers.failure_count > 0
)"""  # noqa: S608 - our own text
FINISH: Final = _fenced_update(
    f"""state = 'succeeded', finalized_at = now(), progress_percent = 100, {UNLEASED},
        result_key = %(result_key)s, result_size_bytes = %(size_bytes)s, result_duration_s = %(duration_s)s,
        result_sha256 = %(sha256)s,
        results_expire_at = now() + make_interval(secs => ({_RESULT_RETENTION_S}))""",
    ", ended_at = now(), outcome = 'succeeded'",
    _FINALIZE + _RECOVERED + LEARNED,
)
RETRY: Final = _fenced_update(
    f"""state = 'retrying', available_at = now() + make_interval(secs => %(delay_s)s), progress_percent = 0,
        {UNLEASED}""",
    f", ended_at = now(), outcome = 'retried', {_ATTEMPT_ERROR}",
)
FAIL: Final = _fenced_update(
    f"state = 'failed', finalized_at = now(), error_code = %(code)s, error_detail = %(detail)s, {UNLEASED}",
    f", ended_at = now(), outcome = 'failed', {_ATTEMPT_ERROR}",
    _FINALIZE,
)
_RELEASE_PARTS: Final = (
    f"state = 'queued', available_at = now(), progress_percent = 0, {UNLEASED}",
    ", ended_at = now(), outcome = 'released', cause = 'shutdown'",
    _NOTIFY,
)
RELEASE: Final = _fenced_update(*_RELEASE_PARTS)
#: A statement of its own: with an array parameter in `RELEASE`, the server would plan that statement on each call,
#: because the length of the array is unknown.
RELEASE_MANY: Final = _fenced_update(*_RELEASE_PARTS, held="= ANY(%(tokens)s)")
SAVE_CHECKPOINT: Final = """
WITH held AS (
    SELECT id, attempt_count FROM jobs WHERE id = %(job_id)s AND lease_token = %(token)s FOR UPDATE
), replaced AS (
    SELECT object_key FROM checkpoints JOIN held ON checkpoints.job_id = held.id
    WHERE kind = %(kind)s AND number = %(number)s AND object_key <> %(object_key)s
), marked AS (
    INSERT INTO doomed_objects (object_key) SELECT object_key FROM replaced ON CONFLICT DO NOTHING
), progressed AS (
    UPDATE attempts SET kept = true FROM held
    WHERE attempts.job_id = held.id AND attempts.number = held.attempt_count AND NOT attempts.kept
), freed AS (
    DELETE FROM reserved_segments USING held
    WHERE %(kind)s = 'segment' AND reserved_segments.job_id = held.id AND reserved_segments.number = %(number)s
), saved AS (
    INSERT INTO checkpoints (job_id, kind, number, object_key, size_bytes, sha256, attempt)
    SELECT id, %(kind)s, %(number)s, %(object_key)s, %(size_bytes)s, %(sha256)s, attempt_count FROM held
    ON CONFLICT (job_id, kind, number) DO UPDATE SET
        object_key = excluded.object_key, size_bytes = excluded.size_bytes, sha256 = excluded.sha256,
        attempt = excluded.attempt, created_at = excluded.created_at
)
SELECT id FROM held
"""
COUNT_REFUSED: Final = "UPDATE attempts SET refused_writes = refused_writes + 1 WHERE token = %(token)s"
