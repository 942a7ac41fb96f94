"""Database reader: SQL queries that bypass the service, for choosing targets and for the final rows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 60_000
#: Rows per query of `final_rows`.
PAGE: Final = 2000

_HELD: Final = """
SELECT id, attempt_count, lease_worker, stage, progress_percent FROM jobs WHERE state = 'running'
"""
_SHARES: Final = """
SELECT job_id AS id, 0 AS attempt_count, worker AS lease_worker, 'rendering' AS stage, 0.0::float8 AS progress_percent
FROM shares WHERE ended_at IS NULL AND lease_expires_at > now()
"""
_UNFINISHED: Final = """
SELECT count(*) AS jobs, coalesce(sum(progress_percent), 0)::float8 AS percent FROM jobs WHERE finalized_at IS NULL
"""
_ATTEMPT: Final = "SELECT ended_at IS NULL AS open, refused_writes FROM attempts WHERE job_id = %s AND number = %s"
_FINAL: Final = """
SELECT custom_id AS job, id, state, error_code, result_key, result_size_bytes AS result_bytes,
    extract(epoch FROM created_at)::float8 AS created_at, extract(epoch FROM finalized_at)::float8 AS finalized_at,
    (SELECT json_agg(json_build_object(
        'number', number, 'worker', worker, 'outcome', outcome, 'cause', cause, 'error_code', a.error_code,
        'gpu_s', a.gpu_s, 'refused_writes', refused_writes,
        'started_at', extract(epoch FROM a.started_at)::float8, 'ended_at', extract(epoch FROM ended_at)::float8
    ) ORDER BY number) FROM attempts a WHERE a.job_id = jobs.id) AS attempts
FROM jobs WHERE id > %s ORDER BY id LIMIT %s
"""
_CHECKPOINTS: Final = "SELECT attempt, extract(epoch FROM created_at)::float8 AS at FROM checkpoints WHERE job_id = %s"
_QUARANTINED: Final = "SELECT name FROM workers WHERE isfinite(quarantined_until) AND quarantined_until > now()"
_FIRST: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job that a worker holds."""

    job_id: str
    attempt: int
    pid: int
    """Process id of the worker's child."""
    stage: str
    percent: float


class DatabaseReader:
    """Read-only connection that is reopened after every failure; for one thread.

    Args:
        url: libpq address of the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next query opens another."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def held_jobs(self) -> tuple[HeldJob, ...]:
        """Return the jobs that are held now; none while the database is down."""
        return self._held(_HELD)

    def held_shares(self) -> tuple[HeldJob, ...]:
        """Return the shares that are open now, as jobs of attempt 0; none while the database is down."""
        return self._held(_SHARES)

    def _held(self, query: str) -> tuple[HeldJob, ...]:
        with suppress(psycopg.Error):
            return tuple(
                HeldJob(
                    str(row["id"]),
                    row["attempt_count"],
                    int(row["lease_worker"].rpartition("/")[2]),
                    row["stage"] or "",
                    row["progress_percent"],
                )
                for row in self._query(query)
            )
        return ()

    def quarantined_workers(self) -> frozenset[int]:
        """Return the process ids in the names of quarantined workers; none while the database is down."""
        with suppress(psycopg.Error):
            return frozenset(int(row["name"].rpartition(":")[2]) for row in self._query(_QUARANTINED))
        return frozenset()

    def unfinished(self) -> tuple[int, float] | None:
        """Return the number of unfinished jobs and the sum of their percents; None while the database is down."""
        with suppress(psycopg.Error):
            (row,) = self._query(_UNFINISHED)
            return row["jobs"], row["percent"]
        return None

    def is_open(self, held: HeldJob) -> bool:
        """Tell whether this attempt has not ended; true while the database is down."""
        with suppress(psycopg.Error):
            return any(row["open"] for row in self._query(_ATTEMPT, held.job_id, held.attempt))
        return True

    def refused_writes(self, held: HeldJob) -> int:
        """Return the number of refused writes of this attempt; 0 while the database is down."""
        with suppress(psycopg.Error):
            return sum(row["refused_writes"] for row in self._query(_ATTEMPT, held.job_id, held.attempt))
        return 0

    def checkpoints(self, held: HeldJob) -> tuple[float, ...]:
        """Return when this attempt saved its checkpoints, seconds since 1970; none while the database is down."""
        with suppress(psycopg.Error):
            return tuple(row["at"] for row in self._query(_CHECKPOINTS, held.job_id) if row["attempt"] == held.attempt)
        return ()

    def final_rows(self) -> Iterator[dict[str, Any]]:
        """Yield all jobs with their attempts.

        Raises:
            psycopg.Error: the database is unavailable.
        """
        after = _FIRST
        while page := self._query(_FINAL, after, PAGE):
            for row in page:
                yield row | {"id": str(row["id"]), "attempts": row["attempts"] or []}
            after = str(page[-1]["id"])

    def _query(self, query: str, *values: object) -> list[dict[str, Any]]:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._url,
                    autocommit=True,
                    row_factory=dict_row,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
                )
            return self._connection.execute(query, values).fetchall()
        except psycopg.Error:
            self.close()
            raise
