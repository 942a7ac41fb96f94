from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.orchestration.rows import change, column

from dubline.orchestration.domain.errors import DeviceFailedError, StorageUnavailableError
from dubline.orchestration.domain.events import Cursor, EventKind
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.domain.quarantine import FAILURES_IN_A_ROW, FIRST_S, UNFINISHED_TEST, is_sick
from dubline.orchestration.domain.retry import Fail, decide

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

KEEP_S = 60.0


def failing(store: Store, worker: str, error: Exception, *, sick: bool = False) -> Lease | None:
    """Claim a job and fail it as the executor does; the pause before the next attempt is over at once."""
    lease = store.leases.claim(worker, KEEP_S)
    if lease is None:
        return None
    decision = decide(error, lease.charged, alone=lease.alone, sick=sick)
    cause, code, detail = decision.cause, decision.code, decision.detail
    if isinstance(decision, Fail):
        store.leases.fail(lease, cause, code, detail)
    else:
        store.leases.retry(lease, cause, code, detail, 0)
    return lease


def seen(store: Store, *workers: str) -> None:
    for worker in workers:
        change(store, "INSERT INTO workers (name) VALUES (:name) ON CONFLICT DO NOTHING", name=worker)


def test_a_worker_that_always_fails_ends_no_job(store: Store, factory: JobFactory) -> None:
    seen(store, "sick", "healthy")
    batch, _ = store.batches.insert("acme", [factory.new() for _ in range(30)], None, "hash")
    while not store.batches.get("acme", batch.id).finished:
        for _ in range(10):
            failing(store, "sick", DeviceFailedError())
        lease = store.leases.claim("healthy", KEEP_S)
        assert lease is not None
        store.leases.finish(lease, 1, 1.0)
    assert store.batches.get("acme", batch.id).counts[JobState.SUCCEEDED] == 30
    assert column(store, "SELECT max(attempt_count) FROM jobs") == [2]


def test_a_job_avoids_a_worker_that_failed_it(store: Store, factory: JobFactory) -> None:
    seen(store, "first", "second")
    factory.job()
    assert failing(store, "first", KeyError())
    assert store.leases.claim("first", KEEP_S) is None
    assert store.leases.claim("second", KEEP_S) is not None


def test_a_job_returns_to_the_only_worker_that_is_left(store: Store, factory: JobFactory) -> None:
    seen(store, "first", "gone", "quarantined")
    change(store, "UPDATE workers SET seen_at = now() - interval '1 h' WHERE name = 'gone'")
    for _ in range(FAILURES_IN_A_ROW):
        store.workers.failed("quarantined")
    store.workers.quarantine("quarantined")
    factory.job()
    first = failing(store, "first", KeyError())
    second = failing(store, "first", KeyError())
    assert (first and first.alone, second and second.alone) == (False, True)


def test_a_job_ends_after_three_workers_failed_it(store: Store, factory: JobFactory) -> None:
    workers = [f"worker-{number}" for number in range(5)]
    seen(store, *workers)
    job = factory.job()
    for worker in workers[:3]:
        assert store.jobs.get("acme", job.id).state is not JobState.FAILED
        assert failing(store, worker, KeyError())
    assert store.jobs.get("acme", job.id).error_code == "attempts_exhausted"


def test_a_job_ends_once_each_of_two_workers_failed_it(store: Store, factory: JobFactory) -> None:
    seen(store, "first", "second")
    job = factory.job()
    assert failing(store, "first", KeyError())
    assert failing(store, "second", KeyError())
    assert store.jobs.get("acme", job.id).state is JobState.RETRYING
    assert failing(store, "second", KeyError())
    assert store.jobs.get("acme", job.id).state is JobState.FAILED


def test_an_outage_is_no_reason_to_avoid_a_worker(store: Store, factory: JobFactory) -> None:
    seen(store, "first", "second")
    factory.job()
    for _ in range(3):
        assert failing(store, "first", StorageUnavailableError())


def test_a_job_lost_by_one_worker_again_and_again_survives(store: Store, factory: JobFactory) -> None:
    seen(store, "crashing", "second")
    job = factory.job()
    assert store.leases.claim("crashing", -1.0) is not None
    store.leases.rescue_expired()
    # The other worker is gone for a while, then back: the budget still needs distinct workers.
    change(store, "UPDATE workers SET seen_at = now() - interval '1 h' WHERE name = 'second'")
    assert store.leases.claim("crashing", -1.0) is not None
    change(store, "UPDATE workers SET seen_at = now() WHERE name = 'second'")
    store.leases.rescue_expired()
    change(store, "UPDATE workers SET seen_at = now() - interval '1 h' WHERE name = 'second'")
    assert store.leases.claim("crashing", -1.0) is not None
    change(store, "UPDATE workers SET seen_at = now() WHERE name = 'second'")
    store.leases.rescue_expired()
    assert store.jobs.get("acme", job.id).state is JobState.RETRYING
    assert len(store.jobs.attempts("acme", job.id)) == 3


def test_a_busy_worker_counts_as_alive(store: Store, factory: JobFactory) -> None:
    factory.job()
    factory.job()
    busy = store.leases.claim("busy", KEEP_S)
    assert busy is not None
    change(store, "UPDATE workers SET seen_at = now() - interval '1 h'")
    store.leases.renew(busy, KEEP_S)
    assert failing(store, "sick", KeyError())
    assert store.leases.claim("sick", KEEP_S) is None


def test_three_failures_in_a_row_cast_doubt_on_a_worker(store: Store, factory: JobFactory) -> None:
    counts = [store.workers.failed(f"worker/{child}") for child in range(FAILURES_IN_A_ROW)]
    assert [is_sick(count) for count in counts] == [False, False, True]
    assert store.workers.read("worker") == (FAILURES_IN_A_ROW, 0.0)
    factory.job()
    lease = store.leases.claim("worker/9", KEEP_S)
    assert lease is not None
    store.leases.finish(lease, 1, 1.0)
    assert store.workers.read("worker") == (0, 0.0)


def test_each_failed_self_test_doubles_the_quarantine(store: Store) -> None:
    for _ in range(FAILURES_IN_A_ROW):
        store.workers.failed("worker/1")
    assert [store.workers.quarantine("worker/1") for _ in range(2)] == [FIRST_S, 2 * FIRST_S]
    _, quarantine_s = store.workers.read("worker/2")
    assert 2 * FIRST_S - 30 < quarantine_s <= 2 * FIRST_S
    first, _ = store.events.after(Cursor(), {EventKind.WORKER_QUARANTINED})
    assert first.tenant is None
    assert first.payload == {"worker": "worker", "failure_count": FAILURES_IN_A_ROW, "quarantine_s": FIRST_S}
    store.workers.succeeded("worker/2")
    assert store.workers.read("worker") == (0, 0.0)


def test_no_job_waits_for_a_worker_that_tests_itself(store: Store, factory: JobFactory) -> None:
    seen(store, "first", "tested")
    store.workers.begin_test("tested/1")
    assert store.workers.read("tested") == (0, UNFINISHED_TEST)
    factory.job()
    assert failing(store, "first", KeyError())
    assert store.leases.claim("first", KEEP_S) is not None


def test_a_worker_that_dies_with_a_job_failed_it(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    for attempt in range(1, FAILURES_IN_A_ROW + 1):
        assert store.leases.claim(f"only/{attempt}", -1.0) is not None
        store.leases.rescue_expired()
        assert store.workers.read("only") == (attempt, 0.0)
    assert store.jobs.get("acme", job.id).state is JobState.RETRYING
    # The worker passes its self-test, so the job is at fault.
    store.workers.succeeded("only/3")
    assert store.leases.claim("only/4", -1.0) is not None
    store.leases.rescue_expired()
    assert store.jobs.get("acme", job.id).error_code == "attempts_exhausted"


def test_workers_that_were_not_seen_for_a_week_are_forgotten(store: Store) -> None:
    seen(store, "old", "new")
    change(store, "UPDATE workers SET seen_at = now() - interval '8 days' WHERE name = 'old'")
    assert store.workers.forget() == 1
    assert column(store, "SELECT name FROM workers") == ["new"]


def test_a_sick_worker_without_an_alternative_ends_no_job(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    for _ in range(10):
        assert failing(store, "only", DeviceFailedError(), sick=True)
    assert store.jobs.get("acme", job.id).state is JobState.RETRYING
