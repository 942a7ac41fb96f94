from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.integration.orchestration.rows import column, pending_deletion

from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.jobs import Cause, JobState, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

EXPIRED_S = -1.0
FINGERPRINT = RenderFingerprint(weights_sha256="a" * 64, render_batch=4, segment_frames=100, encoder_threads=2)

ENDS: dict[str, Callable[[Store, Lease], object]] = {
    "finish": lambda store, lease: store.leases.finish(lease, 1, 1.0),
    "fail": lambda store, lease: store.leases.fail(lease, Cause.DEFECT, "x", "y"),
    "cancel": lambda store, lease: store.jobs.cancel(lease.tenant, lease.job_id),
}
PAUSES: dict[str, Callable[[Store, Lease], object]] = {
    "retry": lambda store, lease: store.leases.retry(lease, Cause.TRANSIENT, "x", "y", 0),
    "release": lambda store, lease: store.leases.release(lease),
}


def piece(lease: Lease, kind: CheckpointKind, number: int = 0, name: str = "") -> Checkpoint:
    key = f"{lease.attempt_prefix}{kind}-{number}{name}"
    return Checkpoint(kind=kind, number=number, object_key=key, size_bytes=10, sha256="b" * 64)


def begun(store: Store, lease_s: float = 10.0) -> tuple[Lease, tuple[Checkpoint, ...]]:
    """An attempt that left the motion and two segments behind."""
    lease = store.leases.claim("worker-1", lease_s)
    assert lease is not None
    assert store.leases.load_checkpoints(lease, FINGERPRINT) == ()
    pieces = (
        piece(lease, CheckpointKind.MOTION),
        *(piece(lease, CheckpointKind.SEGMENT, number) for number in (0, 1)),
    )
    for kept in reversed(pieces):
        store.leases.save_checkpoint(lease, kept)
    return lease, pieces


def again(store: Store) -> Lease:
    lease = store.leases.claim("worker-2", 10)
    assert lease is not None
    return lease


@pytest.mark.parametrize("name", PAUSES)
def test_the_next_attempt_gets_what_was_kept_motion_first(store: Store, factory: JobFactory, name: str) -> None:
    factory.job()
    lease, pieces = begun(store)
    PAUSES[name](store, lease)
    assert store.leases.load_checkpoints(again(store), FINGERPRINT) == pieces
    assert not pending_deletion(store)


def test_the_attempt_after_a_lost_worker_gets_what_was_kept(store: Store, factory: JobFactory) -> None:
    factory.job()
    _, pieces = begun(store, EXPIRED_S)
    store.leases.rescue_expired()
    assert store.leases.load_checkpoints(again(store), FINGERPRINT) == pieces


def test_lost_workers_end_no_job_that_gets_on_and_end_one_that_does_not(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    for number in range(4):
        lease = store.leases.claim("worker", EXPIRED_S)
        assert lease is not None
        store.leases.load_checkpoints(lease, FINGERPRINT)
        store.leases.save_checkpoint(lease, piece(lease, CheckpointKind.SEGMENT, number))
        store.leases.rescue_expired()
        assert store.jobs.get(job.tenant, job.id).state is JobState.RETRYING
    for charged in ({}, {Cause.WORKER_LOST: 1}, {Cause.WORKER_LOST: 2}):
        lease = store.leases.claim("worker", EXPIRED_S)
        assert lease is not None
        assert lease.charged == charged
        store.leases.rescue_expired()
    assert store.jobs.get(job.tenant, job.id).state is JobState.FAILED


def test_other_weights_do_not_bring_old_losses_back(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    for _ in range(3):
        lease = store.leases.claim("worker", EXPIRED_S)
        assert lease is not None
        store.leases.load_checkpoints(lease, FINGERPRINT)
        store.leases.save_checkpoint(lease, piece(lease, CheckpointKind.SEGMENT))
        store.leases.rescue_expired()
    lease = store.leases.claim("worker", EXPIRED_S)
    assert lease is not None
    store.leases.load_checkpoints(lease, replace(FINGERPRINT, weights_sha256="c" * 64))
    store.leases.rescue_expired()
    assert store.jobs.get(job.tenant, job.id).state is JobState.RETRYING


def test_other_weights_forget_everything(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease, pieces = begun(store)
    store.leases.release(lease)
    other = replace(FINGERPRINT, weights_sha256="c" * 64)
    assert store.leases.load_checkpoints(again(store), other) == ()
    assert pending_deletion(store) == {kept.object_key for kept in pieces}
    assert store.jobs.get("acme", job.id).weights_sha256 == "c" * 64


@pytest.mark.parametrize(
    "other",
    [
        replace(FINGERPRINT, render_batch=2),
        replace(FINGERPRINT, segment_frames=50),
        replace(FINGERPRINT, encoder_threads=1),
    ],
)
def test_another_way_of_rendering_keeps_the_motion_alone(
    store: Store, factory: JobFactory, other: RenderFingerprint
) -> None:
    factory.job()
    lease, (motion, *segments) = begun(store)
    store.leases.release(lease)
    heir = again(store)
    assert store.leases.load_checkpoints(heir, other) == (motion,)
    assert pending_deletion(store) == {kept.object_key for kept in segments}
    store.leases.release(heir)
    assert store.leases.load_checkpoints(again(store), other) == (motion,)


def test_a_piece_made_again_takes_the_place_of_the_old_one(store: Store, factory: JobFactory) -> None:
    factory.job()
    lease, (motion, old, other) = begun(store)
    new = piece(lease, CheckpointKind.SEGMENT, 0, "-again")
    store.leases.save_checkpoint(lease, new)
    store.leases.save_checkpoint(lease, new)
    assert pending_deletion(store) == {old.object_key}
    assert store.leases.load_checkpoints(lease, FINGERPRINT) == (motion, new, other)


@pytest.mark.parametrize("name", ENDS)
def test_no_final_job_has_checkpoints(store: Store, factory: JobFactory, name: str) -> None:
    factory.job()
    lease, pieces = begun(store)
    ENDS[name](store, lease)
    assert column(store, "SELECT object_key FROM checkpoints") == []
    assert pending_deletion(store) == {kept.object_key for kept in pieces}


def test_a_job_given_up_by_the_rescue_has_no_checkpoints(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    _, pieces = begun(store, EXPIRED_S)
    for _ in range(4):
        store.leases.rescue_expired()
        store.leases.claim("lost", EXPIRED_S)
    assert store.jobs.get("acme", job.id).error_code == "attempts_exhausted"
    assert pending_deletion(store) == {kept.object_key for kept in pieces}


def test_the_weights_of_a_result_are_those_of_the_pin(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease, _ = begun(store)
    store.leases.finish(lease, 1, 1.0)
    assert store.jobs.get("acme", job.id).weights_sha256 == FINGERPRINT.weights_sha256


def test_the_seconds_of_the_device_add_up_over_attempts_and_not_over_reports(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    first = again(store)
    store.leases.progress(first, Stage.SAMPLING, 10, gpu_s=1.5)
    store.leases.progress(first, Stage.RENDERING, 20, gpu_s=2.0)
    store.leases.progress(first, Stage.RENDERING, 30)
    store.leases.release(first, gpu_s=2.5)
    second = again(store)
    store.leases.progress(second, Stage.RENDERING, 20, gpu_s=4.0)
    assert store.jobs.get("acme", job.id).gpu_s == 6.5
    store.leases.finish(second, 1, 1.0, gpu_s=4.5)
    assert store.jobs.get("acme", job.id).gpu_s == 7.0
    assert [attempt.gpu_s for attempt in store.jobs.attempts("acme", job.id)] == [2.5, 4.5]
