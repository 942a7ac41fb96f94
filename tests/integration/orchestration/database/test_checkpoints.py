from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.integration.orchestration.rows import change, column, pending_deletion

from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.jobs import Cause, JobState, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

EXPIRED_S = -1.0
FINGERPRINT = RenderFingerprint(
    weights_sha256="a" * 64, render_batch=4, segment_frames=100, encoder_threads=2, renderer_sha256="f" * 64
)

FINAL_WRITES: dict[str, Callable[[Store, Lease], object]] = {
    "finish": lambda store, lease: store.leases.finish(lease, 1, 1.0),
    "fail": lambda store, lease: store.leases.fail(lease, Cause.DEFECT, "x", "y"),
    "cancel": lambda store, lease: store.jobs.cancel(lease.tenant, lease.job_id),
}
REQUEUING_WRITES: dict[str, Callable[[Store, Lease], object]] = {
    "retry": lambda store, lease: store.leases.retry(lease, Cause.TRANSIENT, "x", "y", 0),
    "release": lambda store, lease: store.leases.release(lease),
}


def checkpoint(lease: Lease, kind: CheckpointKind, number: int = 0, name: str = "") -> Checkpoint:
    key = f"{lease.attempt_prefix}{kind}-{number}{name}"
    return Checkpoint(kind=kind, number=number, object_key=key, size_bytes=10, sha256="b" * 64)


def claimed_with_checkpoints(store: Store, lease_s: float = 10.0) -> tuple[Lease, tuple[Checkpoint, ...]]:
    """Claim a job and save its motion and two segments."""
    lease = store.leases.claim("worker-1", lease_s)
    assert lease is not None
    assert store.leases.load_checkpoints(lease, FINGERPRINT) == ()
    checkpoints = (
        checkpoint(lease, CheckpointKind.MOTION),
        *(checkpoint(lease, CheckpointKind.SEGMENT, number) for number in (0, 1)),
    )
    for saved in reversed(checkpoints):
        store.leases.save_checkpoint(lease, saved)
    return lease, checkpoints


def claimed_again(store: Store) -> Lease:
    lease = store.leases.claim("worker-2", 10)
    assert lease is not None
    return lease


@pytest.mark.parametrize("name", REQUEUING_WRITES)
def test_the_next_attempt_gets_the_saved_checkpoints_motion_first(store: Store, factory: JobFactory, name: str) -> None:
    factory.job()
    lease, checkpoints = claimed_with_checkpoints(store)
    REQUEUING_WRITES[name](store, lease)
    assert store.leases.load_checkpoints(claimed_again(store), FINGERPRINT) == checkpoints
    assert not pending_deletion(store)


def test_the_attempt_after_a_lost_worker_gets_the_checkpoints(store: Store, factory: JobFactory) -> None:
    factory.job()
    _, checkpoints = claimed_with_checkpoints(store, EXPIRED_S)
    store.leases.rescue_expired()
    assert store.leases.load_checkpoints(claimed_again(store), FINGERPRINT) == checkpoints


def test_lost_workers_fail_a_job_only_if_it_makes_no_progress(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    for number in range(4):
        lease = store.leases.claim("worker", EXPIRED_S)
        assert lease is not None
        store.leases.load_checkpoints(lease, FINGERPRINT)
        store.leases.save_checkpoint(lease, checkpoint(lease, CheckpointKind.SEGMENT, number))
        store.leases.rescue_expired()
        assert store.jobs.get(job.tenant, job.id).state is JobState.RETRYING
    store.workers.succeeded("worker")
    for charged in ({}, {Cause.WORKER_LOST: 1}, {Cause.WORKER_LOST: 2}):
        lease = store.leases.claim("worker", EXPIRED_S)
        assert lease is not None
        assert lease.charged == charged
        store.leases.rescue_expired()
        store.workers.succeeded("worker")
    assert store.jobs.get(job.tenant, job.id).state is JobState.FAILED


def test_discarded_checkpoints_still_count_as_progress(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    for _ in range(3):
        lease = store.leases.claim("worker", EXPIRED_S)
        assert lease is not None
        store.leases.load_checkpoints(lease, FINGERPRINT)
        store.leases.save_checkpoint(lease, checkpoint(lease, CheckpointKind.SEGMENT))
        store.leases.rescue_expired()
    lease = store.leases.claim("worker", EXPIRED_S)
    assert lease is not None
    store.leases.load_checkpoints(lease, replace(FINGERPRINT, weights_sha256="c" * 64))
    store.leases.rescue_expired()
    assert store.jobs.get(job.tenant, job.id).state is JobState.RETRYING


@pytest.mark.parametrize(
    "other", [replace(FINGERPRINT, weights_sha256="c" * 64), replace(FINGERPRINT, renderer_sha256="c" * 64)]
)
def test_other_weights_and_renderers_discard_all_checkpoints(
    store: Store, factory: JobFactory, other: RenderFingerprint
) -> None:
    job = factory.job()
    lease, checkpoints = claimed_with_checkpoints(store)
    store.leases.release(lease)
    assert store.leases.load_checkpoints(claimed_again(store), other) == ()
    assert pending_deletion(store) == {saved.object_key for saved in checkpoints}
    assert store.jobs.get("acme", job.id).weights_sha256 == other.weights_sha256


def test_checkpoints_of_the_previous_release_are_not_used(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease, checkpoints = claimed_with_checkpoints(store)
    store.leases.release(lease)
    # The previous release does not write this column.
    change(store, "UPDATE jobs SET renderer_sha256 = NULL")
    again = claimed_again(store)
    assert again.charged == {}
    assert store.leases.load_checkpoints(again, FINGERPRINT) == ()
    assert pending_deletion(store) == {saved.object_key for saved in checkpoints}
    assert store.jobs.get("acme", job.id).state is JobState.RUNNING


@pytest.mark.parametrize(
    "other",
    [
        replace(FINGERPRINT, render_batch=2),
        replace(FINGERPRINT, segment_frames=50),
        replace(FINGERPRINT, encoder_threads=1),
    ],
)
def test_another_fingerprint_with_the_same_weights_keeps_the_motion(
    store: Store, factory: JobFactory, other: RenderFingerprint
) -> None:
    factory.job()
    lease, (motion, *segments) = claimed_with_checkpoints(store)
    store.leases.release(lease)
    successor = claimed_again(store)
    assert store.leases.load_checkpoints(successor, other) == (motion,)
    assert pending_deletion(store) == {saved.object_key for saved in segments}
    store.leases.release(successor)
    assert store.leases.load_checkpoints(claimed_again(store), other) == (motion,)


def test_a_checkpoint_saved_again_replaces_the_earlier_one(store: Store, factory: JobFactory) -> None:
    factory.job()
    lease, (motion, old, other) = claimed_with_checkpoints(store)
    new = checkpoint(lease, CheckpointKind.SEGMENT, 0, "-new")
    store.leases.save_checkpoint(lease, new)
    store.leases.save_checkpoint(lease, new)
    assert pending_deletion(store) == {old.object_key}
    assert store.leases.load_checkpoints(lease, FINGERPRINT) == (motion, new, other)


@pytest.mark.parametrize("name", FINAL_WRITES)
def test_a_final_job_has_no_checkpoints(store: Store, factory: JobFactory, name: str) -> None:
    factory.job()
    lease, checkpoints = claimed_with_checkpoints(store)
    FINAL_WRITES[name](store, lease)
    assert column(store, "SELECT object_key FROM checkpoints") == []
    assert pending_deletion(store) == {saved.object_key for saved in checkpoints}


def test_a_job_failed_by_the_rescuer_has_no_checkpoints(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    _, checkpoints = claimed_with_checkpoints(store, EXPIRED_S)
    for number in range(2, 6):
        store.leases.rescue_expired()
        store.leases.claim(f"worker-{number}", EXPIRED_S)
    assert store.jobs.get("acme", job.id).error_code == "attempts_exhausted"
    assert pending_deletion(store) == {saved.object_key for saved in checkpoints}


def test_the_weights_of_a_job_are_those_of_its_fingerprint(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease, _ = claimed_with_checkpoints(store)
    store.leases.finish(lease, 1, 1.0)
    assert store.jobs.get("acme", job.id).weights_sha256 == FINGERPRINT.weights_sha256


def test_device_time_is_summed_over_attempts_and_not_over_reports(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    first = claimed_again(store)
    store.leases.progress(first, Stage.SAMPLING, 10, gpu_s=1.5)
    store.leases.progress(first, Stage.RENDERING, 20, gpu_s=2.0)
    store.leases.progress(first, Stage.RENDERING, 30)
    store.leases.release(first, gpu_s=2.5)
    second = claimed_again(store)
    store.leases.progress(second, Stage.RENDERING, 20, gpu_s=4.0)
    assert store.jobs.get("acme", job.id).gpu_s == 6.5
    store.leases.finish(second, 1, 1.0, gpu_s=4.5)
    assert store.jobs.get("acme", job.id).gpu_s == 7.0
    assert [attempt.gpu_s for attempt in store.jobs.attempts("acme", job.id)] == [2.5, 4.5]
