"""Benchmark of the store: `python benchmarks/store.py [--url URL] [--rows 1000000] [--seconds 10] [--plans]`.

Starts a PostgreSQL, or uses the empty database at URL. Prints one line per figure: accepting a batch of 10,000 rows;
claiming and finishing jobs from four processes; claims and polls in a large table. Times are measured by the caller,
on the same machine as the database.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, event, text

from dubline.embedded.stack import Stack
from dubline.orchestration.database.store import Store, connections
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.domain.jobs import NewJob
from dubline.orchestration.domain.uploads import UploadFacts, UploadKind
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable

TENANT: Final = "benchmark"
BATCH: Final = 10_000
PROCESSES: Final = 4
CALLS: Final = 500
LEASE_S: Final = 600.0
SHA: Final = "0" * 64
FACTS: Final = {
    UploadKind.PORTRAIT: UploadFacts(
        media_type="image/png", size_bytes=1, sha256=SHA, width_px=640, height_px=480, face_box=(1, 1, 9, 9)
    ),
    UploadKind.SPEECH: UploadFacts(media_type="audio/wav", size_bytes=1, sha256=SHA, duration_s=5.0),
}
#: Fills the tables; nine of ten jobs are finished, as in a database that has been in use for long.
FILL: Final = (
    """
    INSERT INTO batches (id, tenant, row_count)
    SELECT gen_random_uuid(), :tenant, :batch FROM generate_series(1, :rows / :batch)
    """,
    """
    INSERT INTO jobs (id, tenant, batch_id, position, portrait_upload_id, speech_upload_id, speech_s, preset, seed,
        state, order_key, attempt_count, started_at, finalized_at, progress_percent,
        result_key, result_size_bytes, result_duration_s)
    SELECT gen_random_uuid(), :tenant, batch_id, position, :portrait, :speech, 5, 'tiny', 0,
        CASE WHEN done THEN 'succeeded' ELSE 'queued' END, order_key, CASE WHEN done THEN 1 ELSE 0 END,
        CASE WHEN done THEN now() END, CASE WHEN done THEN now() END, CASE WHEN done THEN 100 ELSE 0 END,
        CASE WHEN done THEN 'results/' || order_key END, CASE WHEN done THEN 1 END, CASE WHEN done THEN 5 END
    FROM (
        SELECT batches.id AS batch_id, position, (numbered.number - 1) * :batch + position AS order_key,
            numbered.number <= 0.9 * :rows / :batch AS done
        FROM (SELECT id, row_number() OVER () AS number FROM batches WHERE row_count = :batch) AS numbered
        JOIN batches USING (id), generate_series(0, :batch - 1) AS position
        WHERE NOT EXISTS (SELECT FROM jobs WHERE jobs.batch_id = batches.id)
    ) AS planned
    """,
    """
    INSERT INTO attempts (job_id, number, token, worker, ended_at, outcome)
    SELECT id, 1, gen_random_uuid(), 'worker', now(), 'succeeded' FROM jobs
    WHERE attempt_count = 1 AND NOT EXISTS (SELECT FROM attempts WHERE job_id = jobs.id)
    """,
)


def main() -> None:
    """Run the whole benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="SQLAlchemy URL of an empty database")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of claim and finish")
    parser.add_argument("--plans", action="store_true", help="print the query plan of each statement")
    options = parser.parse_args()
    with ExitStack() as opened:
        url = options.url or _start_database(opened)
        settings = DatabaseSettings.model_validate({"url": url, "pool_size": 6})
        migrate(settings)
        engine = connections.create(settings)
        store = opened.enter_context(Store(engine))
        row = _prepare(store)
        _print_server(engine)
        _accept(store, row)
        _claim_and_finish(url, options.seconds)
        _measure_large_table(store, engine, row, options.rows, plans=options.plans)


def _start_database(opened: ExitStack) -> str:
    stack = Stack()
    opened.callback(stack.stop)
    stack.start(only=("initdb", "database"))
    return stack.environ["DUBLINE_DATABASE_URL"]


def _prepare(store: Store) -> NewJob:
    store.keys.create(TENANT)
    portrait, speech = (_ready_upload(store, kind) for kind in (UploadKind.PORTRAIT, UploadKind.SPEECH))
    return NewJob(portrait_upload_id=portrait, speech_upload_id=speech)


def _ready_upload(store: Store, kind: UploadKind) -> UUID:
    upload = store.uploads.insert(TENANT, kind, "application/octet-stream", 1)
    store.uploads.mark_probing(TENANT, upload.id)
    lease = store.uploads.claim("prober", LEASE_S)
    if lease is None:
        raise SystemExit("the database is not empty: choose another")
    return store.uploads.accept(lease, FACTS[kind]).id


def _print_server(engine: Engine) -> None:
    with engine.connect() as connection:
        for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers"):
            print(f"{name}: {connection.scalar(text('SELECT current_setting(:name)'), {'name': name})}")


def _accept(store: Store, row: NewJob) -> None:
    times_s = [_timed(lambda: store.batches.insert(TENANT, [row] * BATCH, None, "")) for _ in range(3)]
    print(f"accept {BATCH} rows in one transaction: {statistics.median(times_s):.2f} s (median of {len(times_s)})")


def _claim_and_finish(url: str, seconds: float) -> None:
    processes = multiprocessing.get_context("spawn")
    with processes.Pool(PROCESSES) as pool:
        started = time.perf_counter()
        results = pool.starmap(_work, [(url, seconds)] * PROCESSES)
        wall_s = time.perf_counter() - started
    claims = [one_s for claims_s, _ in results for one_s in claims_s]
    finishes = [one_s for _, finishes_s in results for one_s in finishes_s]
    busy_s = min(wall_s, seconds)
    print(f"claim + finish, {PROCESSES} processes: {len(finishes) / busy_s:.0f} jobs/s ({len(finishes)} jobs)")
    print(f"  claim: {_spread(claims)}; finish: {_spread(finishes)}")


def _work(url: str, seconds: float) -> tuple[list[float], list[float]]:
    claims: list[float] = []
    finishes: list[float] = []
    with Store.connect(DatabaseSettings.model_validate({"url": url, "pool_size": 6})) as store:
        store.check()
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            started = time.perf_counter()
            lease = store.leases.claim("worker", LEASE_S)
            claimed = time.perf_counter()
            if lease is None:
                raise SystemExit("no claimable job is left: choose fewer --seconds")
            store.leases.finish(lease, 1, 5.0)
            claims.append(claimed - started)
            finishes.append(time.perf_counter() - claimed)
    return claims, finishes


def _measure_large_table(store: Store, engine: Engine, row: NewJob, rows: int, *, plans: bool) -> None:
    started = time.perf_counter()
    values = {"tenant": TENANT, "batch": BATCH, "rows": rows}
    values |= {"portrait": row.portrait_upload_id, "speech": row.speech_upload_id}
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in FILL:
            connection.execute(text(statement), values)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        jobs = connection.scalars(text("SELECT id FROM jobs TABLESAMPLE BERNOULLI (1) LIMIT :n"), {"n": CALLS}).all()
        batches = connection.scalars(text("SELECT id FROM batches LIMIT 20")).all()
        count = connection.scalar(text("SELECT count(*) FROM jobs"))
    print(f"rows in jobs: {count} (filled in {time.perf_counter() - started:.0f} s)")
    calls: dict[str, list[Callable[[], object]]] = {
        "claim": [lambda: store.leases.claim("worker", LEASE_S)] * CALLS,
        "status poll": [lambda job=job: store.jobs.get(TENANT, job) for job in jobs],
        f"batch poll ({BATCH} jobs)": [lambda batch=batch: store.batches.get(TENANT, batch) for batch in batches],
        "queued_counts": [store.jobs.queued_counts] * 20,
    }
    for name, repeated in calls.items():
        print(f"{name}: {_spread([_timed(call) for call in repeated])}")
        if plans:
            _print_plans(engine, repeated[0])


def _print_plans(engine: Engine, call: Callable[[], object]) -> None:
    statements: list[tuple[str, dict[str, object]]] = []

    def record(_connection: Connection, _cursor: object, statement: str, values: dict[str, object], *_: object) -> None:
        # Tokens are unique, and `call` has used this one already.
        statements.append((statement, {name: uuid4() if name == "token" else value for name, value in values.items()}))

    event.listen(engine, "before_cursor_execute", record)
    call()
    event.remove(engine, "before_cursor_execute", record)
    for statement, values in statements:
        with engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", values)
            print(*(f"    {line}" for (line,) in plan), sep="\n")
            connection.rollback()


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _spread(times_s: list[float]) -> str:
    percentiles = statistics.quantiles(times_s, n=100)
    return f"p50 {percentiles[49] * 1000:.2f} ms, p99 {percentiles[98] * 1000:.2f} ms"


if __name__ == "__main__":
    main()
