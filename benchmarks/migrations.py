"""Migrations of full tables: how long each takes, and how long statements of the service wait meanwhile.

    python -m benchmarks.migrations [--rows 1000000] [--url URL]

Starts a PostgreSQL, or uses the empty database at URL. It fills the tables of revision 0005, the last one that was
released, and then runs one migration after the other, while one connection reads and another one claims and finishes
jobs with statements that the previous version could send.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Self

import psycopg
from benchmarks.database import driver_url, start_database

from dubline.options.output import exit_if_unread
from dubline.orchestration.database.migrations import latest
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The last released revision. Its migrations cannot be changed.
RELEASED: Final = 5
PAUSE_S: Final = 0.005

#: Two of five jobs are finished; the others wait. Foreign keys are not checked.
FILL: Final = (
    "SET session_replication_role = replica",
    "INSERT INTO tenants (name) VALUES ('acme')",
    "INSERT INTO api_keys (sha256, tenant) VALUES (repeat('0', 64), 'acme')",
    """
    INSERT INTO jobs (id, tenant, portrait_upload_id, speech_upload_id, speech_s, preset, seed, state, order_key,
        attempt_count, started_at, finalized_at, progress_percent, result_key, result_size_bytes, result_duration_s)
    SELECT gen_random_uuid(), 'acme', gen_random_uuid(), gen_random_uuid(), 5, 'tiny', 0,
        CASE WHEN done THEN 'succeeded' ELSE 'queued' END, number, CASE WHEN done THEN 1 ELSE 0 END,
        CASE WHEN done THEN now() END, CASE WHEN done THEN now() END, CASE WHEN done THEN 100 ELSE 0 END,
        CASE WHEN done THEN 'results/' || number END, CASE WHEN done THEN 1 END, CASE WHEN done THEN 5 END
    FROM (SELECT number, number <= 0.4 * %(rows)s AS done FROM generate_series(1, %(rows)s) AS number) AS planned
    """,
    """
    INSERT INTO attempts (job_id, number, token, worker, ended_at, outcome)
    SELECT id, 1, gen_random_uuid(), 'worker', now(), 'succeeded' FROM jobs WHERE attempt_count = 1
    """,
    """
    INSERT INTO events (tenant, kind, subject_id, payload)
    SELECT 'acme', 'job.finished', gen_random_uuid(), '{"state": "succeeded"}' FROM generate_series(1, %(rows)s)
    """,
    """
    INSERT INTO audit (id, tenant, actor, action, subject_kind, subject_id, objects, completed_at)
    SELECT gen_random_uuid(), 'acme', 'key:1', 'delete', 'job', gen_random_uuid(), 0, now()
    FROM generate_series(1, %(rows)s / 2)
    """,
    """
    INSERT INTO uploads (id, tenant, kind, content_type, size_bytes)
    SELECT gen_random_uuid(), 'acme', 'portrait', 'image/png', 1 FROM generate_series(1, %(rows)s / 2)
    """,
    """
    INSERT INTO batches (id, tenant, row_count, open_count)
    SELECT gen_random_uuid(), 'acme', 1, 1 FROM generate_series(1, %(rows)s / 2)
    """,
)
READS: Final = (
    "SELECT tenant FROM api_keys WHERE sha256 = repeat('0', 64)",
    "SELECT id, state FROM jobs WHERE state IN ('queued', 'retrying') ORDER BY order_key, id LIMIT 1",
    "SELECT id FROM events WHERE kind = 'job.finished' ORDER BY transaction_id, id LIMIT 1",
    "SELECT actor FROM audit WHERE subject_id = uuid '00000000-0000-4000-8000-000000000000'",
    "SELECT state FROM uploads WHERE id = uuid '00000000-0000-4000-8000-000000000000'",
    "SELECT row_count FROM batches WHERE id = uuid '00000000-0000-4000-8000-000000000000'",
)
WRITES: Final = (
    """
    UPDATE jobs SET state = 'running', stage = 'preparing', attempt_count = attempt_count + 1, started_at = now(),
        lease_token = gen_random_uuid(), lease_worker = 'w', lease_expires_at = now() + interval '1 min'
    WHERE id = (
        SELECT id FROM jobs WHERE state IN ('queued', 'retrying') ORDER BY order_key, id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    """,
    """
    UPDATE jobs SET state = 'cancelled', stage = NULL, finalized_at = now(), lease_token = NULL, lease_worker = NULL,
        lease_expires_at = NULL
    WHERE state = 'running'
    """,
    "INSERT INTO events (tenant, kind, subject_id, payload) VALUES ('acme', 'job.finished', gen_random_uuid(), '{}')",
    """
    INSERT INTO audit (id, tenant, actor, action, subject_kind, subject_id, objects)
    VALUES (gen_random_uuid(), 'acme', 'key:1', 'delete', 'job', gen_random_uuid(), 0)
    """,
    """
    INSERT INTO uploads (id, tenant, kind, content_type, size_bytes)
    VALUES (gen_random_uuid(), 'acme', 'speech', 'audio/wav', 1)
    """,
    "INSERT INTO batches (id, tenant, row_count, open_count) VALUES (gen_random_uuid(), 'acme', 1, 1)",
)


class Poller:
    """Runs statements in turn on a connection of its own, and keeps the longest time that one took."""

    def __init__(self, url: str, statements: Sequence[str]) -> None:
        self._url = url
        self._statements = statements
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._failure: Exception | None = None
        self.longest_s = 0.0
        self.slowest = ""
        """The statement that took `longest_s`."""
        self.count = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def reset(self) -> None:
        """Forget the statements so far."""
        self.longest_s, self.slowest, self.count = 0.0, "", 0

    def _run(self) -> None:
        try:
            with psycopg.connect(driver_url(self._url), autocommit=True) as connection:
                while not self._stop.wait(PAUSE_S):
                    self._poll(connection)
        except psycopg.Error as error:
            self._failure = error

    def _poll(self, connection: psycopg.Connection) -> None:
        for statement in self._statements:
            started = time.perf_counter()
            connection.execute(statement)
            took_s = time.perf_counter() - started
            self.count += 1
            if took_s > self.longest_s:
                self.longest_s, self.slowest = took_s, " ".join(statement.split())


def fill(url: str, rows: int) -> None:
    """Fill the tables of the last released revision with `rows` jobs, as many events, and half as many other rows."""
    with psycopg.connect(driver_url(url), autocommit=True) as connection:
        for statement in FILL:
            connection.execute(statement, {"rows": rows})
        connection.execute("VACUUM ANALYZE")


def revisions() -> tuple[str, ...]:
    """Return the revisions after the last released one."""
    return tuple(f"{number:04}" for number in range(RELEASED + 1, int(latest()) + 1))


def main() -> None:
    """Run every migration on full tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--url", help="SQLAlchemy URL of an empty database")
    options = parser.parse_args()
    with ExitStack() as opened:
        url = options.url or start_database(opened)
        settings = DatabaseSettings.model_validate({"url": url})
        migrate(settings, f"{RELEASED:04}")
        started = time.perf_counter()
        fill(url, options.rows)
        print(f"filled {options.rows} rows a table in {time.perf_counter() - started:.0f} s")
        reads, writes = (opened.enter_context(Poller(url, each)) for each in (READS, WRITES))
        for revision in revisions():
            reads.reset()
            writes.reset()
            started = time.perf_counter()
            migrate(settings, revision)
            took_s = time.perf_counter() - started
            print(f"{revision}: {took_s:.1f} s; longest read {reads.longest_s:.2f} s, write {writes.longest_s:.2f} s")
            print(f"    {reads.slowest[:80]}\n    {writes.slowest[:80]}")


if __name__ == "__main__":
    with exit_if_unread():
        main()
