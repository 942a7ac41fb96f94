from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from tests.integration.orchestration.rows import change, column, pass_time, pending_deletion
from tests.integration.waiting import wait_until

from dubline.orchestration.database.store.accounts import tenants
from dubline.orchestration.database.store.deletion import upload_life
from dubline.orchestration.domain.audit import RETENTION_ACTOR, AuditAction
from dubline.orchestration.domain.batches import Retention
from dubline.orchestration.domain.errors import NotFoundError
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.domain.uploads import UNUSED_S, UploadKind

if TYPE_CHECKING:
    from uuid import UUID

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

HOUR_S = 3600
BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def finished(store: Store) -> Lease:
    lease = store.leases.claim("worker-1", 10)
    assert lease is not None
    store.leases.finish(lease, 1, 1.0)
    return lease


def test_without_retention_periods_nothing_is_deleted(store: Store, factory: JobFactory) -> None:
    factory.job()
    finished(store)
    pass_time(store, 10 * 365 * 24 * HOUR_S)
    assert store.deletions.expire() == 0


def test_an_expired_video_is_deleted_and_its_job_is_kept(store: Store, factory: JobFactory) -> None:
    store.tenants.set_retention("acme", Retention(results_s=HOUR_S))
    job = factory.job()
    lease = finished(store)
    assert store.deletions.expire() == 0
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 1
    assert store.deletions.expire() == 0
    expired = store.jobs.get("acme", job.id)
    assert (expired.state, expired.result_deleted_at is not None) == (JobState.SUCCEEDED, True)
    assert pending_deletion(store) == {lease.result_key}
    (entry,) = store.deletions.audit("acme", job.id)
    assert (entry.actor, entry.action, entry.objects) == (RETENTION_ACTOR, AuditAction.EXPIRE, 1)
    store.deletions.removed([lease.result_key])
    assert store.deletions.referenced([lease.result_key]) == frozenset()


@pytest.mark.parametrize(("of_tenant", "of_batch"), [(2 * HOUR_S, HOUR_S), (HOUR_S, 2 * HOUR_S), (None, HOUR_S)])
def test_the_shorter_of_two_retention_periods_applies(
    store: Store, factory: JobFactory, of_tenant: int | None, of_batch: int
) -> None:
    store.tenants.set_retention("acme", Retention(results_s=of_tenant))
    batch, _ = store.batches.insert("acme", [factory.new()], None, "hash", Retention(results_s=of_batch))
    assert batch.retention == Retention(results_s=of_batch)
    finished(store)
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 1


def test_an_expired_upload_is_deleted(store: Store, factory: JobFactory) -> None:
    store.tenants.set_retention("acme", Retention(inputs_s=HOUR_S))
    fresh = factory.ready(UploadKind.SPEECH)
    pass_time(store, HOUR_S + 1)
    newer = factory.ready(UploadKind.SPEECH)
    assert store.deletions.expire() == 3
    assert column(store, "SELECT id FROM uploads") == [newer.id]
    (entry,) = store.deletions.audit("acme", fresh.id)
    assert (entry.actor, entry.objects) == (RETENTION_ACTOR, 1)


def test_an_upload_is_kept_while_an_open_job_uses_it(store: Store, factory: JobFactory) -> None:
    store.tenants.set_retention("acme", Retention(inputs_s=HOUR_S))
    factory.job()
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 0
    finished(store)
    assert store.deletions.expire() == 2


def test_the_inputs_of_a_batch_are_deleted_after_its_last_job(store: Store, factory: JobFactory) -> None:
    own = factory.ready(UploadKind.SPEECH)
    rows = [factory.new(), factory.new(speech=own.id)]
    batch, _ = store.batches.insert("acme", rows, None, "hash", Retention(inputs_s=HOUR_S))
    finished(store)
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 0
    finished(store)
    assert store.deletions.expire() == 0
    pass_time(store, HOUR_S + 1)
    other, _ = store.batches.insert("acme", [factory.new()], None, "hash", Retention(inputs_s=HOUR_S))
    assert store.deletions.expire() == 1
    assert pending_deletion(store) == {own.object_key}
    assert store.deletions.expire() == 0
    # The uploads that the other batch uses too are deleted with it.
    finished(store)
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 2
    assert column(store, "SELECT count(*) FROM uploads") == [0]
    assert [entry.objects for entry in store.deletions.audit("acme", batch.id)] == [1]
    assert [entry.objects for entry in store.deletions.audit("acme", other.id)] == [2]


def test_new_retention_periods_apply_to_existing_files(
    store: Store, factory: JobFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "PAGE", 1)
    for _ in range(3):
        factory.job()
        finished(store)
    store.tenants.set_retention("acme", Retention(inputs_s=HOUR_S, results_s=2 * HOUR_S))
    dated = "SELECT count(*) FROM jobs WHERE results_expire_at = finalized_at + interval '2 hours'"
    assert column(store, dated) == [3]
    assert column(store, "SELECT count(*) FROM uploads WHERE review_at = created_at + interval '1 hour'") == [2]
    store.tenants.set_retention("acme", Retention())
    assert column(store, "SELECT count(results_expire_at) FROM jobs") == [0]
    pass_time(store, 3 * HOUR_S)
    assert store.deletions.expire() == 0
    assert column(store, "SELECT count(review_at) FROM uploads") == [0]


def test_retention_periods_of_an_unknown_tenant_are_refused(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.tenants.set_retention("unknown", Retention())


def test_a_checkpoint_of_a_final_job_is_marked_for_deletion(store: Store, factory: JobFactory) -> None:
    # A write on a broken connection may be executed after the write that ended the job.
    factory.job()
    lease = finished(store)
    late = "INSERT INTO checkpoints VALUES (:job_id, 'motion', 0, 'late', 1, repeat('b', 64), 1)"
    change(store, late, job_id=lease.job_id)
    assert store.deletions.expire() == 0
    assert pending_deletion(store) == {"late"}


def test_the_inputs_of_a_job_deleted_from_its_batch_expire(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new()], None, "hash", Retention(inputs_s=HOUR_S))
    lease = finished(store)
    store.deletions.job("acme", lease.job_id, "key:0123")
    store.deletions.batch("acme", batch.id, "key:0123")
    assert store.deletions.expire() == 0
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 2
    assert {lease.portrait.object_key, lease.speech.object_key} <= pending_deletion(store)


def test_uploads_without_a_job_expire(store: Store, factory: JobFactory) -> None:
    factory.job()
    pending, ready = factory.pending(UploadKind.SPEECH), factory.ready(UploadKind.PORTRAIT)
    pass_time(store, UNUSED_S - HOUR_S)
    assert store.deletions.expire() == 0
    pass_time(store, 2 * HOUR_S)
    assert store.deletions.expire() == 2
    assert pending_deletion(store) == {pending.object_key, ready.object_key}


def test_uploads_outlive_the_deletion_of_their_last_job(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    finished(store)
    pass_time(store, UNUSED_S + HOUR_S)
    store.deletions.job("acme", job.id, "key:0123")
    assert store.deletions.expire() == 0
    pass_time(store, UNUSED_S + HOUR_S)
    assert store.deletions.expire() == 2


def test_a_deleted_batch_keeps_its_promise_for_inputs(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new()], None, "hash", Retention(inputs_s=HOUR_S))
    finished(store)
    store.deletions.batch("acme", batch.id, "key:0123")
    assert store.deletions.expire() == 0
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 2


def test_the_earliest_promise_of_deleted_batches_applies(store: Store, factory: JobFactory) -> None:
    periods = (3 * HOUR_S, HOUR_S, 2 * HOUR_S)
    batches = [
        store.batches.insert("acme", [factory.new()], None, "hash", Retention(inputs_s=period))[0] for period in periods
    ]
    finished(store)
    for batch in batches:
        store.deletions.batch("acme", batch.id, "key:0123")
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 2


def test_a_batch_without_a_period_does_not_break_anothers_promise(store: Store, factory: JobFactory) -> None:
    store.batches.insert("acme", [factory.new()], None, "hash", Retention(inputs_s=HOUR_S))
    finished(store)
    store.batches.insert("acme", [factory.new()], None, "hash")
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 0
    finished(store)
    assert store.deletions.expire() == 2


def test_the_longest_of_the_periods_that_batches_ask_for_applies(store: Store, factory: JobFactory) -> None:
    for inputs_s in (HOUR_S, 9 * HOUR_S, 3 * HOUR_S):
        store.batches.insert("acme", [factory.new()], None, "hash", Retention(inputs_s=inputs_s))
        finished(store)
    pass_time(store, 3 * HOUR_S + 1)
    assert store.deletions.expire() == 0
    pass_time(store, 6 * HOUR_S)
    assert store.deletions.expire() == 2


def test_deleting_a_job_does_not_delete_what_another_batch_asks_for(store: Store, factory: JobFactory) -> None:
    store.batches.insert("acme", [factory.new()], None, "hash", Retention(inputs_s=HOUR_S))
    lease = finished(store)
    store.batches.insert("acme", [factory.new()], None, "hash", Retention(inputs_s=9 * HOUR_S))
    finished(store)
    store.deletions.job("acme", lease.job_id, "key:0123")
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 0
    pass_time(store, 8 * HOUR_S)
    assert store.deletions.expire() == 2


def test_uploads_in_use_do_not_hide_those_behind_them(store: Store, factory: JobFactory) -> None:
    store.tenants.set_retention("acme", Retention(inputs_s=HOUR_S))
    factory.job()
    free = factory.ready(UploadKind.SPEECH)
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire(1) == 1
    assert pending_deletion(store) == {free.object_key}


def test_a_job_and_the_inputs_of_its_batch_are_deleted_without_deadlock(
    store: Store, factory: JobFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, _ = store.batches.insert("acme", [factory.new()], None, "hash", Retention(inputs_s=HOUR_S))
    lease = finished(store)
    pass_time(store, HOUR_S + 1)
    find = upload_life.review
    deletion: list[Future[Any]] = []

    def find_during_deletion(*given: Any) -> list[tuple[UUID, str]]:
        if not deletion:
            deletion.append(pool.submit(store.deletions.job, "acme", lease.job_id, "key:1"))
            wait_until(lambda: column(store, BLOCKED) != [0])
        return find(*given)

    monkeypatch.setattr(upload_life, "review", find_during_deletion)
    with ThreadPoolExecutor(1) as pool:
        assert store.deletions.expire() == 2
        assert deletion[0].result()
    assert store.batches.get("acme", batch.id).row_count == 0


def test_a_period_that_is_set_while_a_job_finishes_applies_to_its_video(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new()], None, "hash")
    lease = store.leases.claim("worker-1", 10)
    assert lease is not None
    with ThreadPoolExecutor(2) as pool:
        with store._engine.begin() as other:
            # The statement that finishes the job has computed the date when it waits for the batch.
            other.execute(text("SELECT FROM batches WHERE id = :id FOR UPDATE"), {"id": batch.id})
            finishing = pool.submit(store.leases.finish, lease, 1, 1.0)
            wait_until(lambda: column(store, BLOCKED) != [0])
            setting = pool.submit(store.tenants.set_retention, "acme", Retention(results_s=HOUR_S))
            wait_until(lambda: setting.done() or column(store, BLOCKED)[0] > 1)
        finishing.result()
        setting.result()
    pass_time(store, HOUR_S + 1)
    assert store.deletions.expire() == 1


def test_a_period_that_is_set_while_uploads_are_reviewed_applies_to_them(
    store: Store, factory: JobFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.job()
    finished(store)
    pass_time(store, UNUSED_S + 1)
    find = upload_life.review
    settings: list[Future[None]] = []

    def find_then_set(*given: Any) -> list[tuple[UUID, str]]:
        found = find(*given)
        if not settings:
            retention = Retention(inputs_s=UNUSED_S + HOUR_S)
            settings.append(pool.submit(store.tenants.set_retention, "acme", retention))
            wait_until(lambda: settings[0].done() or column(store, BLOCKED) != [0])
        return found

    monkeypatch.setattr(upload_life, "review", find_then_set)
    with ThreadPoolExecutor(1) as pool:
        assert store.deletions.expire() == 0
        settings[0].result()
    pass_time(store, HOUR_S)
    assert store.deletions.expire() == 2


def test_inputs_of_two_batches_are_deleted_without_deadlock_with_a_new_batch(
    store: Store, factory: JobFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high = sorted(factory.ready(UploadKind.PORTRAIT).id for _ in range(2))
    for portrait in (high, low):
        row = factory.new(portrait=portrait, speech=factory.ready(UploadKind.SPEECH).id)
        store.batches.insert("acme", [row], None, "hash", Retention(inputs_s=HOUR_S))
        finished(store)
    pass_time(store, HOUR_S + 1)
    find = upload_life.review
    accepted: list[Future[Any]] = []

    def find_then_accept(*given: Any) -> list[tuple[UUID, str]]:
        found = find(*given)
        if not accepted:
            rows = [factory.new(portrait=low), factory.new(portrait=high)]
            accepted.append(pool.submit(store.batches.insert, "acme", rows, None, "hash"))
            wait_until(lambda: column(store, BLOCKED) != [0])
        return found

    monkeypatch.setattr(upload_life, "review", find_then_accept)
    with ThreadPoolExecutor(1) as pool:
        assert store.deletions.expire(1) == 3
        batch, _ = accepted[0].result()
    assert batch.counts[JobState.QUEUED] == 1
