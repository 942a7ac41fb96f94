from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import pytest

from dubline.options.render import MotionControls
from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import LeaseLostError, NoFaceError
from dubline.orchestration.domain.jobs import Cause, JobState, Outcome, Stage
from dubline.orchestration.domain.uploads import UploadKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

EXPIRED_S = -1.0
FINGERPRINT = RenderFingerprint(
    weights_sha256="a" * 64, render_batch=4, segment_frames=100, encoder_threads=2, renderer_sha256="f" * 64
)


def segment(lease: Lease, number: int, name: str = "") -> Checkpoint:
    key = f"{lease.attempt_prefix}segment-{number}{name}.mp4"
    return Checkpoint(kind=CheckpointKind.SEGMENT, number=number, object_key=key, size_bytes=10, sha256="b" * 64)


WRITES: dict[str, Callable[[Store, Lease], object]] = {
    "renew": lambda store, lease: store.leases.renew(lease, 10),
    "progress": lambda store, lease: store.leases.progress(lease, Stage.MUXING, 50),
    "finish": lambda store, lease: store.leases.finish(lease, 1, 1.0),
    "retry": lambda store, lease: store.leases.retry(lease, Cause.TRANSIENT, "x", "y", 0),
    "fail": lambda store, lease: store.leases.fail(lease, Cause.DEFECT, "x", "y"),
    "release": lambda store, lease: store.leases.release(lease),
    "load_checkpoints": lambda store, lease: store.leases.load_checkpoints(lease, FINGERPRINT),
    "save_checkpoint": lambda store, lease: store.leases.save_checkpoint(lease, segment(lease, 0)),
}


def claimed(store: Store, lease_s: float = 10.0, worker: str = "worker-1") -> Lease:
    lease = store.leases.claim(worker, lease_s)
    assert lease is not None
    return lease


def test_an_empty_queue_gives_no_lease(store: Store) -> None:
    assert store.leases.claim("worker-1", 10) is None


def test_a_lease_contains_the_uploads_and_the_options(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease = claimed(store)
    assert (lease.job_id, lease.tenant, lease.attempt, lease.charged) == (job.id, "acme", 1, {})
    assert (lease.portrait, lease.speech) == (factory.portrait, factory.speech)
    assert lease.options == job.options
    assert lease.expires_at.utcoffset() == timedelta(0)
    running = store.jobs.get("acme", job.id)
    assert (running.state, running.stage) == (JobState.RUNNING, Stage.PREPARING)


def test_a_job_and_its_lease_have_the_requested_options(store: Store, factory: JobFactory) -> None:
    requested = MotionControls(expression=2.0, head_motion=0.5, blink=0.25, shut_in_silence=0.0)
    store.batches.insert("acme", [factory.new(), factory.new(controls=requested)], None, "hash")
    leases = [claimed(store), claimed(store)]
    assert [lease.options.controls for lease in leases] == [MotionControls(), requested]
    assert [store.jobs.get("acme", lease.job_id).options for lease in leases] == [lease.options for lease in leases]


def test_concurrent_workers_never_claim_the_same_job(store: Store, factory: JobFactory) -> None:
    store.batches.insert("acme", [factory.new() for _ in range(60)], None, "hash")

    def work(name: int) -> list[object]:
        taken = []
        while lease := store.leases.claim(f"worker-{name}", 30):
            taken.append(lease.job_id)
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [job for jobs in pool.map(work, range(6)) for job in jobs]
    assert len(taken) == len(set(taken)) == 60


def test_a_finished_job_has_its_result_and_an_ended_attempt(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease = claimed(store)
    store.leases.progress(lease, Stage.RENDERING, 140.0)
    assert store.jobs.get("acme", job.id).progress_percent == 100
    store.leases.finish(lease, 1234, 3.0)
    done = store.jobs.get("acme", job.id)
    assert (done.state, done.stage, done.progress_percent) == (JobState.SUCCEEDED, None, 100)
    assert (done.result_key, done.result_size_bytes, done.result_duration_s) == (lease.result_key, 1234, 3.0)
    assert done.finalized_at is not None
    assert done.finalized_at.tzinfo in {UTC, done.created_at.tzinfo}
    (attempt,) = store.jobs.attempts("acme", job.id)
    assert (attempt.number, attempt.outcome, attempt.cause) == (1, Outcome.SUCCEEDED, None)
    assert attempt.ended_at is not None


def test_a_failed_job_is_final_and_has_its_error(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    error = NoFaceError()
    store.leases.fail(claimed(store), Cause.BAD_INPUT, error.code, error.detail)
    failed = store.jobs.get("acme", job.id)
    assert (failed.state, failed.error_code, failed.error_detail) == (
        JobState.FAILED,
        "no_face",
        error.detail,
    )
    assert store.leases.claim("worker-1", 10) is None


def test_a_retried_job_is_delayed(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    store.leases.retry(claimed(store), Cause.TRANSIENT, "storage_unavailable", "Away.", 60)
    assert store.jobs.get("acme", job.id).state is JobState.RETRYING
    assert store.leases.claim("worker-1", 10) is None
    assert store.jobs.queued_counts().delayed == 1


def test_each_attempt_has_its_own_number_token_and_result_key(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    first = claimed(store)
    store.leases.retry(first, Cause.TRANSIENT, "storage_unavailable", "Away.", 0)
    second = claimed(store)
    assert (second.attempt, second.charged) == (2, {Cause.TRANSIENT: 1})
    assert second.token != first.token
    assert second.result_key != first.result_key
    kept = store.jobs.attempts("acme", job.id)
    assert [attempt.outcome for attempt in kept] == [Outcome.RETRIED, None]
    assert kept[0].error_code == "storage_unavailable"


def test_a_released_job_is_due_at_once_and_not_charged(store: Store, factory: JobFactory) -> None:
    factory.job()
    store.leases.release(claimed(store))
    second = claimed(store)
    assert (second.attempt, second.charged) == (2, {})


def test_renewing_extends_the_lease(store: Store, factory: JobFactory) -> None:
    factory.job()
    lease = claimed(store, EXPIRED_S)
    renewed = store.leases.renew(lease, 60)
    assert renewed.expires_at > lease.expires_at
    assert store.leases.rescue_expired() == 0


def test_a_valid_lease_is_not_rescued(store: Store, factory: JobFactory) -> None:
    factory.job()
    claimed(store)
    assert store.leases.rescue_expired() == 0


def test_a_job_with_an_expired_lease_is_rescued_and_claimed_again(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    claimed(store, EXPIRED_S)
    assert store.leases.rescue_expired() == 1
    assert store.jobs.get("acme", job.id).state is JobState.RETRYING
    lease = claimed(store)
    assert (lease.job_id, lease.attempt) == (job.id, 2)
    (lost, _) = store.jobs.attempts("acme", job.id)
    assert (lost.outcome, lost.cause) == (Outcome.RETRIED, Cause.WORKER_LOST)


def test_a_job_that_loses_three_workers_fails(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    for number in range(3):
        claimed(store, EXPIRED_S, f"worker-{number}")
        assert store.leases.rescue_expired() == 1
    failed = store.jobs.get("acme", job.id)
    assert (failed.state, failed.error_code) == (JobState.FAILED, "attempts_exhausted")
    assert "worker_lost" in str(failed.error_detail)
    outcomes = [attempt.outcome for attempt in store.jobs.attempts("acme", job.id)]
    assert outcomes == [Outcome.RETRIED, Outcome.RETRIED, Outcome.FAILED]


def test_transient_failures_do_not_count_as_lost_workers(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    for _ in range(5):
        store.leases.retry(claimed(store), Cause.TRANSIENT, "storage_unavailable", "Away.", 0)
    for _ in range(2):
        claimed(store, EXPIRED_S)
        assert store.leases.rescue_expired() == 1
    assert store.jobs.get("acme", job.id).state is JobState.RETRYING
    assert claimed(store, EXPIRED_S).charged == {Cause.TRANSIENT: 5, Cause.WORKER_LOST: 2}
    store.workers.succeeded("worker-1")
    assert store.leases.rescue_expired() == 1
    assert store.jobs.get("acme", job.id).state is JobState.FAILED


@pytest.mark.parametrize("name", WRITES)
def test_every_write_of_a_zombie_worker_is_refused(store: Store, factory: JobFactory, name: str) -> None:
    job = factory.job()
    zombie = claimed(store, EXPIRED_S)
    store.leases.rescue_expired()
    successor = claimed(store)
    before = store.jobs.get("acme", job.id), store.jobs.attempts("acme", job.id)
    with pytest.raises(LeaseLostError):
        WRITES[name](store, zombie)
    refused, untouched = store.jobs.attempts("acme", job.id)
    assert (refused.refused_writes, untouched.refused_writes) == (1, 0)
    assert (store.jobs.get("acme", job.id), (replace(refused, refused_writes=0), untouched)) == before
    store.leases.finish(successor, 1, 1.0)


@pytest.mark.parametrize("name", WRITES)
def test_every_write_after_the_end_of_an_attempt_is_refused(store: Store, factory: JobFactory, name: str) -> None:
    factory.job()
    lease = claimed(store)
    store.leases.finish(lease, 1, 1.0)
    with pytest.raises(LeaseLostError):
        WRITES[name](store, lease)


def test_of_a_concurrent_rescue_and_finish_one_succeeds(store: Store, factory: JobFactory) -> None:
    for _ in range(10):
        job = factory.job()
        lease = claimed(store, EXPIRED_S)

        def finish(lease: Lease = lease) -> bool:
            try:
                store.leases.finish(lease, 1, 1.0)
            except LeaseLostError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            rescued, finished = pool.submit(store.leases.rescue_expired), pool.submit(finish)
        assert rescued.result() + finished.result() == 1
        state = store.jobs.get("acme", job.id).state
        assert state is (JobState.SUCCEEDED if finished.result() else JobState.RETRYING)
        if rescued.result():
            second = claimed(store)
            store.leases.finish(second, 1, 1.0)


def test_a_job_of_another_tenant_is_claimed_before_a_large_batch(store: Store, factory: JobFactory) -> None:
    speech = factory.ready(UploadKind.SPEECH, duration_s=10.0)
    store.batches.insert("acme", [factory.new(speech=speech.id) for _ in range(50)], None, "hash")
    claimed(store)
    small = type(factory)(store, "small")
    job = small.job()
    # At most one more job of the large batch is claimed first.
    assert job.id in {claimed(store).job_id, claimed(store).job_id}


def test_two_tenants_share_the_queue_by_seconds_of_speech(store: Store, factory: JobFactory) -> None:
    short = factory.ready(UploadKind.SPEECH, duration_s=1.0)
    other = type(factory)(store, "other")
    long = other.ready(UploadKind.SPEECH, duration_s=4.0)
    store.batches.insert("acme", [factory.new(speech=short.id) for _ in range(40)], None, "hash")
    store.batches.insert("other", [other.new(speech=long.id) for _ in range(40)], None, "hash")
    first = [claimed(store).tenant for _ in range(25)]
    assert 19 <= first.count("acme") <= 21


def test_jobs_of_one_tenant_are_claimed_in_order(store: Store, factory: JobFactory) -> None:
    sent = [factory.job().id for _ in range(5)]
    assert [claimed(store).job_id for _ in sent] == sent


def test_the_depth_of_the_queue_is_counted(store: Store, factory: JobFactory) -> None:
    for _ in range(3):
        factory.job()
    claimed(store)
    counts = store.jobs.queued_counts()
    assert (counts.claimable, counts.delayed, counts.running) == (2, 0, 1)
    assert counts.oldest_claimable_s >= 0
