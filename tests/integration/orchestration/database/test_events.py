"""Events: each final transition of a job is recorded once, in its own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from dubline.orchestration.domain.errors import LeaseLostError
from dubline.orchestration.domain.events import RETENTION_DAYS, Cursor, EventKind
from dubline.orchestration.domain.jobs import Cause, NewJob

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.events import Event
    from dubline.orchestration.domain.leases import Lease
    from dubline.orchestration.settings import DatabaseSettings


START = Cursor()


def events(store: Store, after: Cursor = START) -> list[Event]:
    return list(store.events.after(after, list(EventKind)))


def recorded(store: Store) -> list[tuple[str, UUID, object]]:
    return [(event.kind.value, event.subject_id, event.payload.get("state")) for event in events(store)]


def claimed(store: Store, worker: str = "w") -> Lease:
    lease = store.leases.claim(worker, 60)
    assert lease is not None
    return lease


def set_jobs(database: DatabaseSettings, change: str) -> None:
    engine = create_engine(database.url.get_secret_value())
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE jobs SET {change}"))  # noqa: S608 - the test's own text
    engine.dispose()


def finish(store: Store, _: DatabaseSettings, _job: UUID) -> None:
    store.leases.finish(claimed(store), 1, 1.0)


def fail(store: Store, _: DatabaseSettings, _job: UUID) -> None:
    store.leases.fail(claimed(store), Cause.DEFECT, "internal", "Defect.")


def cancel(store: Store, _: DatabaseSettings, job_id: UUID) -> None:
    store.jobs.cancel("acme", job_id)


def cancel_batch(store: Store, _: DatabaseSettings, job_id: UUID) -> None:
    batch_id = store.jobs.get("acme", job_id).batch_id
    assert batch_id is not None
    store.batches.cancel("acme", batch_id)


def miss_the_deadline(store: Store, database: DatabaseSettings, _job: UUID) -> None:
    set_jobs(database, "deadline_at = now() - interval '1 second' WHERE finalized_at IS NULL")
    assert store.leases.expire_deadlines() == 1


def lose_every_worker(store: Store, database: DatabaseSettings, _job: UUID) -> None:
    for worker in ("first", "second", "third"):
        claimed(store, worker)
        set_jobs(database, "lease_expires_at = now() - interval '1 second' WHERE state = 'running'")
        assert store.leases.rescue_expired() == 1


def lose_an_upload(store: Store, database: DatabaseSettings, _job: UUID) -> None:
    set_jobs(database, f"speech_upload_id = '{uuid4()}' WHERE finalized_at IS NULL")
    assert store.leases.claim("w", 60) is None


def delete_the_job(store: Store, _: DatabaseSettings, job_id: UUID) -> None:
    store.deletions.job("acme", job_id, "key:1")


def delete_the_batch(store: Store, _: DatabaseSettings, job_id: UUID) -> None:
    batch_id = store.jobs.get("acme", job_id).batch_id
    assert batch_id is not None
    store.deletions.batch("acme", batch_id, "key:1")


WAYS: dict[Callable[[Store, DatabaseSettings, UUID], None], str] = {
    finish: "succeeded",
    fail: "failed",
    cancel: "cancelled",
    cancel_batch: "cancelled",
    miss_the_deadline: "failed",
    lose_every_worker: "failed",
    lose_an_upload: "failed",
    delete_the_job: "cancelled",
    delete_the_batch: "cancelled",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_last_job_of_a_batch_finishes_both(
    store: Store,
    factory: JobFactory,
    database: DatabaseSettings,
    way: Callable[[Store, DatabaseSettings, UUID], None],
) -> None:
    batch, _ = store.batches.insert("acme", [factory.new(), factory.new()], None, "hash")
    first, last = store.batches.jobs("acme", batch.id, None, 2).jobs
    store.jobs.cancel("acme", first.id)
    assert recorded(store) == [("job.finished", first.id, "cancelled")]
    way(store, database, last.id)
    assert recorded(store)[1:] == [("job.finished", last.id, WAYS[way]), ("batch.finished", batch.id, None)]
    assert events(store)[-1].payload == {"job_count": 2}
    assert {event.tenant for event in events(store)} == {"acme"}


def test_a_single_job_finishes_alone_and_names_its_error(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    fail(store, None, job.id)  # type: ignore[arg-type]
    (event,) = events(store)
    assert (event.kind, event.subject_id) == (EventKind.JOB_FINISHED, job.id)
    assert event.payload == {"state": "failed", "error_code": "internal"}


def test_a_batch_whose_jobs_all_fail_at_admission_is_finished(store: Store, factory: JobFactory) -> None:
    missing = NewJob(portrait_upload_id=uuid4(), speech_upload_id=factory.speech.id)
    batch, _ = store.batches.insert("acme", [missing, missing], None, "hash")
    assert [kind for kind, _, _ in recorded(store)] == ["job.finished", "job.finished", "batch.finished"]
    assert batch.finished


def test_a_batch_with_one_open_job_is_not_finished(store: Store, factory: JobFactory) -> None:
    missing = NewJob(portrait_upload_id=uuid4(), speech_upload_id=factory.speech.id)
    store.batches.insert("acme", [missing, factory.new()], None, "hash")
    assert [kind for kind, _, _ in recorded(store)] == ["job.finished"]
    finish(store, None, None)  # type: ignore[arg-type]
    assert [kind for kind, _, _ in recorded(store)] == ["job.finished", "job.finished", "batch.finished"]


def test_a_released_or_retried_attempt_is_no_event(store: Store, factory: JobFactory) -> None:
    factory.job()
    store.leases.release(claimed(store))
    store.leases.retry(claimed(store), Cause.TRANSIENT, "storage_unavailable", "Away.", 60.0)
    assert events(store) == []


def test_deleting_final_jobs_inserts_no_event(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new()], None, "hash")
    finish(store, None, None)  # type: ignore[arg-type]
    before = recorded(store)
    store.deletions.batch("acme", batch.id, "key:1")
    assert recorded(store) == before


def test_events_are_read_after_a_cursor(store: Store, factory: JobFactory) -> None:
    jobs = [factory.job() for _ in range(3)]
    for job in jobs:
        store.jobs.cancel("acme", job.id)
    first = events(store)[0]
    assert [event.subject_id for event in events(store, first.cursor)] == [job.id for job in jobs[1:]]
    assert store.events.after(Cursor(), [EventKind.BATCH_FINISHED]) == ()
    assert len(store.events.after(Cursor(), list(EventKind), limit=2)) == 2


def test_an_event_is_hidden_until_earlier_transactions_have_ended(
    store: Store, factory: JobFactory, database: DatabaseSettings
) -> None:
    engine = create_engine(database.url.get_secret_value())
    job = factory.job()
    with engine.begin() as older:
        older.execute(text("SELECT pg_current_xact_id()"))
        store.jobs.cancel("acme", job.id)
        assert events(store) == []
    assert len(events(store)) == 1
    engine.dispose()


def test_old_events_are_pruned(store: Store, factory: JobFactory, database: DatabaseSettings) -> None:
    for _ in range(2):
        store.jobs.cancel("acme", factory.job().id)
    engine = create_engine(database.url.get_secret_value())
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE events SET created_at = now() - make_interval(days => :days, secs => 1) WHERE id = :id"),
            {"days": RETENTION_DAYS, "id": events(store)[0].cursor.event_id},
        )
    engine.dispose()
    (old, new) = events(store)
    assert store.events.prune(10) == 1
    assert events(store) == [new]
    assert old != new


def test_a_refused_write_is_no_event(store: Store, factory: JobFactory) -> None:
    factory.job()
    lost = claimed(store)
    store.leases.release(lost)
    with pytest.raises(LeaseLostError):
        store.leases.finish(lost, 1, 1.0)
    assert events(store) == []
