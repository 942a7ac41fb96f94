from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.integration.orchestration.rows import change

from dubline.orchestration.domain.errors import InvalidRequestError, LeaseLostError, NotFoundError
from dubline.orchestration.domain.jobs import Cause, JobState, Outcome, Stage

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

PASS_DEADLINES = "UPDATE jobs SET deadline_at = now() - interval '1 s' WHERE deadline_at IS NOT NULL"


def claimed(store: Store, lease_s: float = 10.0) -> Lease:
    lease = store.leases.claim("worker-1", lease_s)
    assert lease is not None
    return lease


def test_a_waiting_job_is_cancelled_at_once(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    cancelled = store.jobs.cancel("acme", job.id)
    assert (cancelled.state, cancelled.error_code) == (JobState.CANCELLED, None)
    assert cancelled.finalized_at is not None
    assert store.leases.claim("worker", 10) is None
    assert store.jobs.cancel("acme", job.id) == cancelled


def test_writes_to_a_cancelled_job_are_refused(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease = claimed(store)
    assert store.jobs.cancel("acme", job.id).stage is None
    with pytest.raises(LeaseLostError):
        store.leases.progress(lease, Stage.RENDERING, 50)
    with pytest.raises(LeaseLostError):
        store.leases.finish(lease, 1, 1.0)
    assert store.jobs.get("acme", job.id).state is JobState.CANCELLED
    (attempt,) = store.jobs.attempts("acme", job.id)
    assert (attempt.outcome, attempt.cause, attempt.refused_writes) == (Outcome.CANCELLED, Cause.CANCELLED, 2)


def test_a_job_between_two_attempts_is_cancelled(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    store.leases.retry(claimed(store), Cause.TRANSIENT, "x", "y", 0)
    assert store.jobs.cancel("acme", job.id).state is JobState.CANCELLED
    (attempt,) = store.jobs.attempts("acme", job.id)
    assert attempt.outcome is Outcome.RETRIED


def test_cancelling_a_succeeded_job_changes_nothing(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease = claimed(store)
    store.leases.finish(lease, 1, 1.0)
    assert store.jobs.cancel("acme", job.id) == store.jobs.get("acme", job.id)
    assert store.jobs.get("acme", job.id).state is JobState.SUCCEEDED


def test_another_tenants_jobs_are_not_cancelled(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new()], None, "hash")
    (job,) = store.batches.jobs("acme", batch.id, None, 1).jobs
    with pytest.raises(NotFoundError):
        store.jobs.cancel("other", job.id)
    with pytest.raises(NotFoundError):
        store.batches.cancel("other", batch.id)
    assert store.jobs.get("acme", job.id).state is JobState.QUEUED


def test_a_cancelled_batch_keeps_its_final_jobs(store: Store, factory: JobFactory) -> None:
    rows = [factory.new(), factory.new(), factory.new(portrait=uuid4()), factory.new()]
    batch, _ = store.batches.insert("acme", rows, None, "hash")
    done, working = claimed(store), claimed(store)
    store.leases.finish(done, 1, 1.0)
    cancelled = store.batches.cancel("acme", batch.id)
    assert cancelled.finished
    assert {state: count for state, count in cancelled.counts.items() if count} == {
        JobState.SUCCEEDED: 1,
        JobState.FAILED: 1,
        JobState.CANCELLED: 2,
    }
    with pytest.raises(LeaseLostError):
        store.leases.renew(working, 10)
    assert store.batches.cancel("acme", batch.id) == cancelled


def test_of_a_concurrent_cancel_and_finish_one_succeeds(store: Store, factory: JobFactory) -> None:
    for _ in range(10):
        job = factory.job()
        lease = claimed(store)

        def finish(lease: Lease = lease) -> bool:
            try:
                store.leases.finish(lease, 1, 1.0)
            except LeaseLostError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            cancelled, finished = pool.submit(store.jobs.cancel, "acme", job.id), pool.submit(finish)
        state = store.jobs.get("acme", job.id).state
        assert cancelled.result().state is state
        assert state is (JobState.SUCCEEDED if finished.result() else JobState.CANCELLED)


@pytest.mark.parametrize("state_before", ["queued", "running", "retrying"])
def test_a_job_past_its_deadline_fails(store: Store, factory: JobFactory, state_before: str) -> None:
    job = store.jobs.insert("acme", factory.new(deadline_s=60))
    assert job.deadline_at is not None
    assert (job.deadline_at - job.created_at).total_seconds() == 60
    lease = None if state_before == "queued" else claimed(store)
    if lease and state_before == "retrying":
        store.leases.retry(lease, Cause.TRANSIENT, "x", "y", 0)
    assert store.leases.expire_deadlines() == 0
    change(store, PASS_DEADLINES)
    if state_before != "running":
        assert store.leases.claim("worker", 10) is None
    assert store.leases.expire_deadlines() == 1
    assert store.leases.expire_deadlines() == 0
    late = store.jobs.get("acme", job.id)
    assert (late.state, late.error_code) == (JobState.FAILED, "deadline_exceeded")
    if lease and state_before == "running":
        with pytest.raises(LeaseLostError):
            store.leases.finish(lease, 1, 1.0)
        (attempt,) = store.jobs.attempts("acme", job.id)
        assert (attempt.outcome, attempt.cause) == (Outcome.FAILED, Cause.DEADLINE)
        assert attempt.error_code == "deadline_exceeded"


def test_a_result_is_accepted_until_the_deadline_is_enforced(store: Store, factory: JobFactory) -> None:
    job = store.jobs.insert("acme", factory.new(deadline_s=60))
    lease = claimed(store)
    change(store, PASS_DEADLINES)
    store.leases.finish(lease, 1, 1.0)
    assert store.leases.expire_deadlines() == 0
    assert store.jobs.get("acme", job.id).state is JobState.SUCCEEDED


@pytest.mark.parametrize("deadline_s", [0.5, 31 * 86_400.0, float("nan"), float("inf")])
def test_a_deadline_out_of_range_is_refused(store: Store, factory: JobFactory, deadline_s: float) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        store.jobs.insert("acme", factory.new(deadline_s=deadline_s))
    assert caught.value.errors[0]["code"] == "deadline_out_of_range"


def test_a_job_with_a_deleted_upload_fails_and_the_next_is_claimed(store: Store, factory: JobFactory) -> None:
    lost = store.jobs.insert("acme", factory.new(speech=factory.ready(factory.speech.kind).id))
    good = factory.job()
    change(store, "DELETE FROM uploads WHERE id = :id", id=lost.speech_upload_id)
    assert claimed(store).job_id == good.id
    failed = store.jobs.get("acme", lost.id)
    assert (failed.state, failed.error_code) == (JobState.FAILED, "upload_missing")
    (attempt,) = store.jobs.attempts("acme", lost.id)
    assert (attempt.outcome, attempt.cause) == (Outcome.FAILED, Cause.BAD_INPUT)
