"""Plans of the store's statements in large tables: what each call reads, and how long it takes.

    python -m benchmarks.plans [--rows 1000000] [--calls 200] [--url URL] [--plans]

Starts a PostgreSQL, or uses the empty database at URL, and fills it with the cases that are hard to plan for: half the
jobs wait, a tenth waits for the end of a pause and comes first in the queue, one portrait is in every job, the newest
rows of each list are those that a filter excludes. It prints a line for each call: blocks of tables and indexes that
its statements read, time in the server, and time for the caller. Blocks do not depend on the machine or its load.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg
from benchmarks.database import driver_url, start_database
from sqlalchemy import event

from dubline.options.output import exit_if_unread
from dubline.orchestration.database.store import Store, connections
from dubline.orchestration.database.store.deletion import removal, upload_life
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.events import Cursor, EventKind
from dubline.orchestration.domain.jobs import JobState, NewJob
from dubline.orchestration.domain.listing import BatchFilter, JobFilter, UploadFilter, Window
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

TENANT: Final = "acme"
PORTRAIT: Final = UUID(int=1)
"""In every finished job, and in no other."""
WAITING_PORTRAIT: Final = UUID(int=2)
UNNAMED_PORTRAIT: Final = UUID(int=4)
SPEECH: Final = UUID(int=3)
NEW: Final = NewJob(portrait_upload_id=WAITING_PORTRAIT, speech_upload_id=SPEECH)
#: A batch with as many jobs as a batch may have.
BIG: Final = UUID(int=1)
NO_EVENTS: Final = frozenset({EventKind.BATCH_FINISHED})
CUSTOM_ID: Final = "again"
SHA256: Final = "a" * 64
LIMIT: Final = 50
LEASE_S: Final = 3600.0
PROCESSES: Final = count(1)
#: Largest number of rows of a batch.
BATCH: Final = 10_000
#: From the sixth execution on, the server may use one plan for all values.
WARM: Final = 8

SETTINGS: Final = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "client_min_messages": "log",
}
#: Triggers and foreign keys are not evaluated; rows that triggers would insert are inserted here.
FILL: Final = (
    "SET session_replication_role = replica",
    """
    INSERT INTO uploads (id, tenant, kind, state, content_type, size_bytes, media_type, sha256, width_px, height_px,
        face_box, duration_s, finalized_at, created_at)
    SELECT CASE WHEN number <= 4 THEN lpad(number::text, 32, '0')::uuid ELSE gen_random_uuid() END, 'acme',
        CASE WHEN portrait THEN 'portrait' ELSE 'speech' END, 'ready', 'image/png', 1, 'image/png',
        CASE WHEN number %% 2 = 0 THEN repeat('a', 64) ELSE repeat(md5(number::text), 2) END,
        CASE WHEN portrait THEN 640 END, CASE WHEN portrait THEN 480 END,
        CASE WHEN portrait THEN ARRAY[1, 1, 9, 9] END, CASE WHEN NOT portrait THEN 5 END, now(),
        now() - make_interval(secs => number)
    FROM (
        SELECT number, number <> 3 AND number < %(rows)s / 2 - 10 AS portrait
        FROM generate_series(1, %(rows)s / 2) AS number
    ) AS planned
    """,
    """
    INSERT INTO uploads (id, tenant, kind, state, content_type, size_bytes, order_key, probe_attempts, probe_after)
    SELECT gen_random_uuid(), 'acme', 'speech', 'probing', 'audio/wav', 1, number, CASE WHEN paused THEN 1 ELSE 0 END,
        CASE WHEN paused THEN now() + interval '1 day' ELSE now() END
    FROM (SELECT number, number %% 2 = 0 AS paused FROM generate_series(1, %(rows)s / 5) AS number) AS planned
    """,
    """
    INSERT INTO batches (id, tenant, row_count, open_count, created_at)
    SELECT lpad(number::text, 32, '0')::uuid, 'acme', 1, CASE WHEN number <= 5 THEN 1 ELSE 0 END,
        now() - interval '1 year' + make_interval(secs => number)
    FROM generate_series(1, %(rows)s / 2) AS number
    """,
    """
    INSERT INTO jobs (id, tenant, batch_id, position, custom_id, portrait_upload_id, speech_upload_id, speech_s, preset,
        seed, state, order_key, available_at, created_at, attempt_count, started_at, finalized_at, progress_percent,
        result_key, result_size_bytes, result_duration_s, result_sha256)
    SELECT lpad(number::text, 32, '0')::uuid, 'acme',
        CASE WHEN state <> 'retrying' THEN lpad((1 + number / %(batch)s)::text, 32, '0')::uuid END,
        CASE WHEN state <> 'retrying' THEN number END, CASE WHEN state = 'retrying' THEN 'again' END,
        lpad(CASE state WHEN 'succeeded' THEN '1' ELSE '2' END, 32, '0')::uuid, lpad('3', 32, '0')::uuid, 5, 'tiny',
        0, state, CASE WHEN state = 'retrying' THEN 0 ELSE number END,
        CASE WHEN state = 'retrying' THEN now() + interval '1 day' ELSE now() END,
        now() - make_interval(secs => number), CASE WHEN state = 'queued' THEN 0 ELSE 1 END,
        CASE WHEN state <> 'queued' THEN now() END, CASE WHEN state = 'succeeded' THEN now() END,
        CASE WHEN state = 'succeeded' THEN 100 ELSE 0 END, CASE WHEN state = 'succeeded' THEN 'results/' || number END,
        CASE WHEN state = 'succeeded' THEN 1 END, CASE WHEN state = 'succeeded' THEN 5 END,
        CASE WHEN state = 'succeeded' THEN repeat(md5(number::text), 2) END
    FROM (
        SELECT number, CASE WHEN number %% 10 < 4 THEN 'succeeded' WHEN number %% 10 < 9 THEN 'queued' ELSE 'retrying'
            END AS state
        FROM generate_series(1, %(rows)s) AS number
    ) AS planned
    """,
    """
    INSERT INTO waiting_work (preset, crop_size, jobs, work_ms)
    SELECT 'tiny', 'medium', 1, 5000 FROM generate_series(1, 63)
    UNION ALL SELECT preset, 'medium', count(*) - 63, sum(speech_s) * 1000 - 63 * 5000 FROM jobs WHERE state = 'queued'
    GROUP BY preset
    """,
    """
    INSERT INTO learned_rates (preset, pool, crop_size, log_rate, variance, weight)
    SELECT preset, 'pool-' || pool, crop_size, 0, .1, 10 FROM unnest(ARRAY['base', 'tiny']) AS preset,
        unnest(ARRAY['small', 'medium', 'large', 'huge']) AS crop_size, generate_series(1, 10) AS pool
    """,
    """
    INSERT INTO attempts (job_id, number, token, worker, ended_at, outcome, cause)
    SELECT id, 1, gen_random_uuid(), 'host:1/2', now(), CASE state WHEN 'succeeded' THEN state ELSE 'retried' END,
        CASE state WHEN 'retrying' THEN 'transient' END
    FROM jobs WHERE attempt_count = 1
    """,
    """
    INSERT INTO events (tenant, kind, subject_id, payload)
    SELECT 'acme', 'job.finished', id, '{"state": "succeeded"}' FROM jobs WHERE state = 'succeeded'
    """,
    """
    INSERT INTO audit (id, tenant, actor, action, subject_kind, subject_id, objects, completed_at, at)
    SELECT gen_random_uuid(), 'acme', 'key:1', 'delete', 'job', gen_random_uuid(), 0, now(),
        now() - make_interval(secs => number)
    FROM generate_series(1, %(rows)s / 2) AS number
    """,
    """
    INSERT INTO doomed_objects (object_key, doomed_at)
    SELECT 'results/gone/' || number, now() - make_interval(secs => number)
    FROM generate_series(1, %(rows)s / 2) AS number
    """,
    "VACUUM ANALYZE",
)
WINDOW: Final = Window(limit=LIMIT)


def _jobs(store: Store, *states: JobState, custom_id: str | None = None) -> object:
    return store.jobs.page(TENANT, JobFilter(states=frozenset(states), custom_id=custom_id), WINDOW)


def _uploads(store: Store, **which: Any) -> object:
    return store.uploads.page(TENANT, UploadFilter(**which), WINDOW)


def _in_use(store: Store, upload_id: UUID) -> bool:
    with transaction(store._engine) as session:  # noqa: SLF001 - a part of the deletion of an upload
        return removal.in_use(session, upload_id)


def _claim_and_release(store: Store) -> None:
    lease = store.leases.claim("host:1/2", LEASE_S)
    if lease is not None:
        store.leases.release(lease)


def _probe_and_release(store: Store) -> None:
    lease = store.uploads.claim("host:1/2", LEASE_S)
    if lease is not None:
        store.uploads.release(lease)


def _review(store: Store, upload_id: UUID) -> object:
    with transaction(store._engine) as session:  # noqa: SLF001 - a part of the end of retention periods
        return upload_life.review(session, [upload_id])


#: By name of the method of the store, and what is particular about the call.
CALLS: Final[dict[str, Callable[[Store], object]]] = {
    "Jobs.get": lambda store: store.jobs.get(TENANT, UUID(int=8)),
    "Jobs.find_result": lambda store: store.jobs.find_result(TENANT, "0" * 64),
    "Jobs.attempts": lambda store: store.jobs.attempts(TENANT, UUID(int=1)),
    "Jobs.page": _jobs,
    "Jobs.page succeeded": lambda store: _jobs(store, JobState.SUCCEEDED),
    "Jobs.page failed, of which there are none": lambda store: _jobs(store, JobState.FAILED),
    "Jobs.page of a custom id": lambda store: _jobs(store, custom_id=CUSTOM_ID),
    "Jobs.page failed of a custom id": lambda store: _jobs(store, JobState.FAILED, custom_id=CUSTOM_ID),
    "Jobs.insert_once": lambda store: store.jobs.insert(TENANT, NEW),
    "Jobs.refund": lambda store: store.jobs.refund(),
    "Batches.get": lambda store: store.batches.get(TENANT, BIG),
    "Batches.page": lambda store: store.batches.page(TENANT, BatchFilter(), WINDOW),
    "Batches.page finished": lambda store: store.batches.page(TENANT, BatchFilter(finished=True), WINDOW),
    "Batches.page unfinished": lambda store: store.batches.page(TENANT, BatchFilter(finished=False), WINDOW),
    "Batches.page of a key": lambda store: store.batches.page(TENANT, BatchFilter(idempotency_key="k"), WINDOW),
    "Uploads.get": lambda store: store.uploads.get(TENANT, PORTRAIT),
    "Uploads.page": _uploads,
    "Uploads.page of speech": lambda store: _uploads(store, kind=UploadKind.SPEECH),
    "Uploads.page of a hash": lambda store: _uploads(store, sha256=SHA256),
    "Uploads.page of speech of a hash": lambda store: _uploads(store, kind=UploadKind.SPEECH, sha256=SHA256),
    "Uploads.rescue_expired": lambda store: store.uploads.rescue_expired(),
    "Leases.rescue_expired": lambda store: store.leases.rescue_expired(),
    "Shares.claim": lambda store: store.shares.claim("host:1/1", LEASE_S, "0" * 64, presets=("base", "tiny")),
    "Shares.end_expired": lambda store: store.shares.end_expired(),
    "Leases.expire_deadlines": lambda store: store.leases.expire_deadlines(),
    "Deletions.upload in finished jobs": lambda store: _in_use(store, PORTRAIT),
    "Deletions.upload in waiting jobs": lambda store: _in_use(store, WAITING_PORTRAIT),
    "Deletions.expire": lambda store: store.deletions.expire(LIMIT),
    "Deletions.expire a portrait in no job": lambda store: _review(store, UNNAMED_PORTRAIT),
    "Deletions.pending": lambda store: store.deletions.pending(LIMIT),
    "Deletions.referenced": lambda store: store.deletions.referenced(["results/1", "uploads/1"]),
    "Deletions.audit": lambda store: store.deletions.audit(TENANT, PORTRAIT),
    "Deletions.audit_page": lambda store: store.deletions.audit_page(TENANT, limit=LIMIT),
    "Deletions.audit_page of all": lambda store: store.deletions.audit_page(None, limit=LIMIT),
    "Outbox.has_any": lambda store: store.outbox.has_any(),
    "Workers.running": lambda store: store.workers.running(),
    "Workers.leave": lambda store: store.workers.leave(["host"], LEASE_S),
    "Workers.stay": lambda store: store.workers.stay(["host"]),
    "Events.after": lambda store: store.events.after(Cursor(), {EventKind.JOB_FINISHED}, LIMIT),
    "Events.after of a kind without events": lambda store: store.events.after(Cursor(), NO_EVENTS, LIMIT),
    "Events.prune": lambda store: store.events.prune(LIMIT),
    "Keys.list": lambda store: store.keys.list(TENANT),
    "Keys.authenticate": lambda store: store.keys.authenticate("unknown"),
    "Tenants.holdings": lambda store: store.tenants.holdings(TENANT),
}
#: These read each row of one batch, which has at most 10,000, or count up to a limit, or write rows.
CALLS_OF_MANY: Final[dict[str, Callable[[Store], object]]] = {
    "Backlogs.read": lambda store: store.backlogs.read(40),
    "Predictions.workload": lambda store: store.predictions.workload(40, 40),
    "Predictions.queue": lambda store: store.predictions.queue(40, 40),
    "Predictions.open_job": lambda store: store.predictions.open_job(TENANT, UUID(int=8)),
    "Predictions.open_jobs": lambda store: store.predictions.open_jobs(TENANT, BIG),
    "Predictions.sum_up": lambda store: store.predictions.sum_up(),
    "Jobs.queued_counts": lambda store: store.jobs.queued_counts(),
    "Uploads.waiting_count": lambda store: store.uploads.waiting_count(),
    # Each claim is by another worker, so that the tenant soon has more than its share of them.
    "Leases.claim": lambda store: store.leases.claim(f"host:{next(PROCESSES)}/1", LEASE_S),
    "Leases.claim of a released job": _claim_and_release,
    "Uploads.claim": lambda store: store.uploads.claim("host:1/2", LEASE_S),
    "Uploads.claim of a released upload": _probe_and_release,
    "Deletions.expire the portrait of all finished jobs": lambda store: _review(store, PORTRAIT),
    "Batches.jobs": lambda store: store.batches.jobs(TENANT, BIG, None, LIMIT),
    "Batches.jobs failed, of which there are none": lambda store: store.batches.jobs(
        TENANT, BIG, None, LIMIT, states={JobState.FAILED}
    ),
    "Batches.jobs changed since, of which there are none": lambda store: store.batches.jobs(
        TENANT, BIG, None, LIMIT, changed_since=2**40
    ),
}
#: It reads up to 10,000 rows in each place, at most once in five seconds.
CALLS_OF_METRICS: Final[dict[str, Callable[[Store], object]]] = {
    "Backlogs.read for metrics": lambda store: store.backlogs.read(),
}


@dataclass(slots=True)
class Costs:
    """What the executions of one call cost."""

    blocks: list[int] = field(default_factory=list)
    """Blocks that its statements read from tables and indexes, cached or not."""
    server_s: list[float] = field(default_factory=list)
    plans: list[dict[str, Any]] = field(default_factory=list)
    """Plans of the statements of its last execution."""


class Plans:
    """Records the plan of each statement that a store executes, with what it has read."""

    def __init__(self, engine: Engine) -> None:
        self._recorded: list[tuple[float, dict[str, Any]]] = []
        event.listen(engine, "connect", self._connected)

    def measure(self, call: Callable[[], object], times: int) -> Costs:
        """Call a function several times, without the first `WARM` ones."""
        costs = Costs()
        for number in range(WARM + times):
            self._recorded.clear()
            call()
            if number >= WARM:
                costs.plans = [plan for _, plan in self._recorded]
                costs.server_s.append(sum(took_s for took_s, _ in self._recorded))
                costs.blocks.append(sum(map(_blocks, costs.plans)))
        return costs

    def _connected(self, connection: psycopg.Connection[Any], _record: object) -> None:
        connection.execute("LOAD 'auto_explain'")
        for name, value in SETTINGS.items():
            connection.execute(f"SET {name} = {value}")
        connection.commit()
        connection.add_notice_handler(self._note)

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        duration, _, plan = (notice.message_primary or "").partition("plan:")
        if plan:
            self._recorded.append((float(duration.split()[1]) / 1000, json.loads(plan)))


def _blocks(plan: dict[str, Any]) -> int:
    root = plan["Plan"]
    return int(root["Shared Hit Blocks"] + root["Shared Read Blocks"])


def rows_read(plan: dict[str, Any]) -> int:
    """Return how many rows the scans of a plan read, also those that a filter removed."""
    counted = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    read: int = round(sum(node["Actual Loops"] * sum(node.get(name, 0) for name in counted) for node in _scans(plan)))
    return read


def outline(plan: dict[str, Any]) -> str:
    """Return how a plan reads tables, such as `Index Scan jobs_listed x6`."""
    found: dict[str, int] = {}
    for node in _scans(plan):
        name = f"{node['Node Type']} {node.get('Index Name') or node['Relation Name']}"
        found[name] = found.get(name, 0) + 1
    return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in found.items())


def _scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    pending = [plan["Plan"]]
    while pending:
        node = pending.pop()
        pending += node.get("Plans", [])
        if "Scan" in node["Node Type"] and ("Relation Name" in node or "Index Name" in node):
            yield node


def fill(url: str, rows: int) -> None:
    """Fill empty tables: `rows` jobs, and half of it in the other tables."""
    with psycopg.connect(driver_url(url), autocommit=True) as connection:
        for statement in FILL:
            connection.execute(statement, {"rows": rows, "batch": min(BATCH, rows // 10)})


@contextmanager
def recorded(url: str) -> Iterator[tuple[Store, Plans]]:
    """Connect a store whose plans are recorded. The user must be allowed to load `auto_explain`."""
    engine = connections.create(DatabaseSettings.model_validate({"url": url}))
    plans = Plans(engine)
    with Store(engine) as store:
        yield store, plans


def main() -> None:
    """Measure every call in large tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--url", help="SQLAlchemy URL of a database; it is filled if it has no tables")
    parser.add_argument("--filled", action="store_true", help="the database is filled already")
    options = parser.parse_args()
    with ExitStack() as opened:
        url = options.url or start_database(opened)
        settings = DatabaseSettings.model_validate({"url": url})
        migrate(settings)
        if not options.filled:
            started = time.perf_counter()
            with Store.connect(settings) as store:
                store.keys.create(TENANT)
            fill(url, options.rows)
            print(f"filled {options.rows} jobs in {time.perf_counter() - started:.0f} s")
        explained, plans = opened.enter_context(recorded(url))
        plain = opened.enter_context(Store.connect(settings))
        for name, call in (CALLS | CALLS_OF_MANY | CALLS_OF_METRICS).items():
            costs = plans.measure(partial(call, explained), options.calls)
            caller_s = [_timed(partial(call, plain)) for _ in range(WARM + options.calls)][WARM:]
            server, caller = _spread(costs.server_s), _spread(caller_s)
            print(f"{name}: {max(costs.blocks)} blocks; server {server}; caller {caller}")
            for plan in costs.plans:
                print(f"    {outline(plan)}")


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _spread(times_s: list[float]) -> str:
    percentiles = statistics.quantiles(times_s, n=100)
    return f"p50 {percentiles[49] * 1000:.1f} ms, p99 {percentiles[98] * 1000:.1f} ms"


if __name__ == "__main__":
    with exit_if_unread():
        main()
