"""Workers: failures in a row, self-tests and quarantine, kept in rows because a worker's process may end at any time.

`quarantined_until` is NULL, the end of a quarantine, or infinity while a self-test is running. A process that finds
infinity at its start follows one that ended in its self-test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.attempts.busy import OPEN_SHARE
from dubline.orchestration.database.store.attempts.charges import host_of, worker_of
from dubline.orchestration.database.store.transaction import OneStatement, transaction
from dubline.orchestration.domain.quarantine import quarantine_s
from dubline.orchestration.domain.workers import RunningJob

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Engine

#: Days after which a worker that was not seen is forgotten.
FORGOTTEN_DAYS: Final = 7

_NAME: Final = worker_of("CAST(:worker AS text)")
_THIS: Final = f"name = {worker_of('CAST(%(worker)s AS text)')}"
_READ: Final = f"""
SELECT failure_count, CASE WHEN quarantined_until = 'infinity' THEN float8 'infinity'
    ELSE greatest(0, coalesce(extract(epoch FROM quarantined_until - now()), 0))::float8 END AS quarantine_s
FROM workers WHERE {_THIS}
"""  # noqa: S608 - our own text
_FAILED: Final = text(f"""
INSERT INTO workers (name, failure_count) VALUES ({_NAME}, 1)
ON CONFLICT (name) DO UPDATE SET failure_count = workers.failure_count + 1, seen_at = now()
RETURNING name, failure_count, id
""")  # noqa: S608 - our own text
_BEGIN_TEST: Final = f"UPDATE workers SET quarantined_until = 'infinity' WHERE {_THIS}"  # noqa: S608 - our own text
_SUCCEEDED: Final = f"UPDATE workers SET failure_count = 0, quarantined_until = NULL WHERE {_THIS}"  # noqa: S608
_QUARANTINE: Final = text("""
UPDATE workers SET quarantined_until = now() + make_interval(secs => :seconds) WHERE name = :name
""")
_EVENT: Final = text("""
INSERT INTO events (kind, subject_id, payload)
VALUES ('worker.quarantined', :id, jsonb_build_object(
    'worker', left(CAST(:name AS text), 256), 'failure_count', CAST(:count AS integer),
    'quarantine_s', CAST(:seconds AS float8)))
""")
_FORGET: Final = text(f"DELETE FROM workers WHERE seen_at < now() - interval '{FORGOTTEN_DAYS} days'")  # noqa: S608


#: A host that runs a job is not marked. A worker has a row from its first poll on.
_LEAVE: Final = f"""
WITH running AS (
    SELECT {host_of("lease_worker")} AS host FROM jobs WHERE state = 'running'
    UNION ALL SELECT {host_of("shares.worker")} FROM shares WHERE {OPEN_SHARE}
)
UPDATE workers SET leaving_until = now() + make_interval(secs => %(seconds)s)
WHERE {host_of("name")} = ANY(%(hosts)s) AND {host_of("name")} NOT IN (SELECT host FROM running)
RETURNING {host_of("name")} AS host
"""  # noqa: S608 - our own text
_STAY: Final = f"UPDATE workers SET leaving_until = NULL WHERE {host_of('name')} = ANY(%(hosts)s)"  # noqa: S608
_RUNNING: Final = f"""
SELECT {host_of("lease_worker")} AS host, preset,
    extract(epoch FROM now() - greatest(attempts.started_at, (
        SELECT max(created_at) FROM checkpoints WHERE checkpoints.job_id = jobs.id
    )))::float8 AS unsaved_s
FROM jobs JOIN attempts ON attempts.job_id = jobs.id AND attempts.ended_at IS NULL
WHERE jobs.state = 'running'
UNION ALL
SELECT {host_of("shares.worker")}, preset,
    extract(epoch FROM now() - coalesce(shares.kept_at, shares.started_at))::float8
FROM shares JOIN jobs ON jobs.id = shares.job_id WHERE {OPEN_SHARE}
"""  # noqa: S608 - our own text


class Workers:
    """Failures in a row of each worker. A worker is named by the `HOST:PARENT/CHILD` of any of its processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._run = OneStatement(engine)

    def read(self, worker: str) -> tuple[int, float]:
        """Return the failures in a row of a worker, and the seconds until its quarantine ends.

        Returns:
            The seconds are 0 without a quarantine, and `quarantine.UNFINISHED_TEST` while a self-test is running.
        """
        rows = self._run(_READ, worker=worker)
        return (rows[0].failure_count, rows[0].quarantine_s) if rows else (0, 0.0)

    def failed(self, worker: str) -> int:
        """Count a failed job against a worker; return its failures in a row."""
        with transaction(self._engine) as session:
            count: int = session.execute(_FAILED, {"worker": worker}).one().failure_count
            return count

    def begin_test(self, worker: str) -> None:
        """Record that a self-test begins. Until it ends, no job waits for this worker."""
        self._run(_BEGIN_TEST, worker=worker)

    def quarantine(self, worker: str) -> float:
        """Quarantine a worker that failed its self-test, with the event `worker.quarantined`; return the seconds."""
        with transaction(self._engine) as session:
            row = session.execute(_FAILED, {"worker": worker}).one()
            # The failed self-test itself counts for the next quarantine.
            count = row.failure_count - 1
            values = {"name": row.name, "id": row.id, "count": count, "seconds": quarantine_s(count)}
            session.execute(_QUARANTINE, values)
            session.execute(_EVENT, values)
            return quarantine_s(count)

    def succeeded(self, worker: str) -> None:
        """Set the failures in a row of a worker to zero and end its quarantine. `leases.finish` sets them as well."""
        self._run(_SUCCEEDED, worker=worker)

    def running(self) -> tuple[RunningJob, ...]:
        """Read what each worker is rendering; a job whose lease has expired counts until it is rescued."""
        return tuple(
            RunningJob(host=row.host, preset=row.preset, unsaved_s=max(0.0, row.unsaved_s))
            for row in self._run(_RUNNING)
        )

    def leave(self, hosts: Collection[str], seconds: float) -> frozenset[str]:
        """Keep idle workers from claiming for some seconds, because they are about to be removed.

        A claim that has begun before may still succeed; its worker hands the job back when it is told to stop.

        Returns:
            The hosts whose workers were marked; those that run a job or have no row are not.
        """
        return frozenset(row.host for row in self._run(_LEAVE, hosts=list(hosts), seconds=seconds))

    def stay(self, hosts: Collection[str]) -> None:
        """Let workers claim again that were marked by `leave`."""
        self._run(_STAY, hosts=list(hosts))

    def forget(self) -> int:
        """Delete the rows of workers that were not seen for `FORGOTTEN_DAYS`; return how many."""
        with transaction(self._engine) as session:
            return session.execute(_FORGET).rowcount  # type: ignore[attr-defined, no-any-return]
