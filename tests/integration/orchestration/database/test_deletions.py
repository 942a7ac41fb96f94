from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from tests.integration.orchestration.rows import column, pending_deletion

from dubline.orchestration.domain.audit import SWEEP_ACTOR, AuditAction, AuditSubject
from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import LeaseLostError, NotFoundError, UploadInUseError
from dubline.orchestration.domain.jobs import Cause, JobState
from dubline.orchestration.domain.uploads import UploadKind

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.audit import AuditEntry
    from dubline.orchestration.domain.leases import Lease

ACTOR = "key:0123456789ab"
FINGERPRINT = RenderFingerprint(weights_sha256="a" * 64, render_batch=4, segment_frames=100, encoder_threads=2)


def claimed(store: Store) -> Lease:
    lease = store.leases.claim("worker-1", 10)
    assert lease is not None
    return lease


def finished(store: Store) -> Lease:
    lease = claimed(store)
    store.leases.finish(lease, 1, 1.0)
    return lease


def kept(store: Store, lease: Lease) -> Checkpoint:
    key = f"{lease.attempt_prefix}segment-0.mp4"
    piece = Checkpoint(kind=CheckpointKind.SEGMENT, number=0, object_key=key, size_bytes=1, sha256="b" * 64)
    store.leases.load_checkpoints(lease, FINGERPRINT)
    store.leases.save_checkpoint(lease, piece)
    return piece


def entry(store: Store, subject_id: UUID) -> AuditEntry:
    (found,) = store.deletions.audit("acme", subject_id)
    return found


def test_a_deleted_upload_is_gone_and_its_object_doomed(store: Store, factory: JobFactory) -> None:
    upload = factory.ready(UploadKind.SPEECH)
    audit_id = store.deletions.upload("acme", upload.id, ACTOR)
    with pytest.raises(NotFoundError):
        store.uploads.get("acme", upload.id)
    assert store.deletions.pending(10) == (upload.object_key,)
    said = entry(store, upload.id)
    assert (said.id, said.actor, said.action, said.subject_kind) == (
        audit_id,
        ACTOR,
        AuditAction.DELETE,
        AuditSubject.UPLOAD,
    )
    assert (said.objects, said.completed_at) == (1, None)


def test_an_upload_that_a_job_still_needs_is_not_deleted(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    for upload in (factory.portrait, factory.speech):
        with pytest.raises(UploadInUseError):
            store.deletions.upload("acme", upload.id, ACTOR)
    claimed(store)
    with pytest.raises(UploadInUseError):
        store.deletions.upload("acme", factory.speech.id, ACTOR)
    assert not pending_deletion(store)
    assert store.deletions.audit("acme", factory.speech.id) == ()
    store.jobs.cancel("acme", job.id)
    store.deletions.upload("acme", factory.speech.id, ACTOR)
    assert store.jobs.get("acme", job.id).state is JobState.CANCELLED


def test_nothing_of_another_tenant_is_deleted(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new()], None, "hash")
    job = factory.job()
    for attempt in (
        lambda: store.deletions.upload("other", factory.portrait.id, ACTOR),
        lambda: store.deletions.job("other", job.id, ACTOR),
        lambda: store.deletions.batch("other", batch.id, ACTOR, inputs=True),
    ):
        with pytest.raises(NotFoundError):
            attempt()
    assert column(store, "SELECT count(*) FROM jobs") == [2]
    assert column(store, "SELECT count(*) FROM audit") == [0]


def test_a_deletion_is_complete_when_its_last_object_is_gone(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    kept(store, claimed(store))
    store.deletions.job("acme", job.id, ACTOR)
    first, *others = store.deletions.pending(10)
    store.deletions.removed([first])
    assert entry(store, job.id).completed_at is None
    store.deletions.removed([*others, "of nobody"])
    said = entry(store, job.id)
    assert (said.objects, said.completed_at is not None) == (2, True)
    assert store.deletions.pending(10) == ()


def test_a_deletion_without_objects_is_complete_at_once(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    store.deletions.job("acme", job.id, ACTOR)
    assert entry(store, job.id).completed_at is not None


def test_a_deleted_job_leaves_nothing_and_its_video_is_doomed(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease = finished(store)
    store.deletions.job("acme", job.id, ACTOR)
    with pytest.raises(NotFoundError):
        store.jobs.get("acme", job.id)
    assert column(store, "SELECT count(*) FROM attempts") == [0]
    assert pending_deletion(store) == {lease.result_key}
    with pytest.raises(NotFoundError):
        store.deletions.job("acme", job.id, ACTOR)


def test_what_earlier_attempts_may_have_written_goes_too(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lost = claimed(store)
    store.leases.retry(lost, Cause.TRANSIENT, "storage_unavailable", "Away.", 0)
    lease = claimed(store)
    piece = kept(store, lease)
    store.deletions.job("acme", job.id, ACTOR)
    assert pending_deletion(store) == {lost.result_key, lease.result_key, piece.object_key}


def test_the_worker_at_a_deleted_job_is_refused(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease = claimed(store)
    store.deletions.job("acme", job.id, ACTOR)
    with pytest.raises(LeaseLostError):
        store.leases.renew(lease, 10)
    with pytest.raises(LeaseLostError):
        store.leases.finish(lease, 1, 1.0)
    assert column(store, "SELECT count(*) FROM jobs") == [0]


def test_a_batch_counts_without_its_deleted_jobs(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new(), factory.new()], None, "hash")
    done, other = store.batches.jobs("acme", batch.id, None, 2).jobs
    assert finished(store).job_id == done.id
    store.deletions.job("acme", other.id, ACTOR)
    left = store.batches.get("acme", batch.id)
    assert (left.row_count, left.finished, left.progress_percent) == (1, True, 100)
    store.deletions.job("acme", done.id, ACTOR)
    empty = store.batches.get("acme", batch.id)
    assert (empty.row_count, empty.finished, empty.progress_percent) == (0, True, 100)


def test_a_deleted_batch_takes_its_jobs_and_leaves_its_uploads(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new(), factory.new()], "key", "hash")
    other = factory.job()
    lease, running = finished(store), claimed(store)
    piece = kept(store, running)
    store.deletions.batch("acme", batch.id, ACTOR)
    with pytest.raises(NotFoundError):
        store.batches.get("acme", batch.id)
    assert column(store, "SELECT id FROM jobs") == [other.id]
    assert pending_deletion(store) == {lease.result_key, running.result_key, piece.object_key}
    assert entry(store, batch.id).objects == 3
    assert store.uploads.get("acme", factory.speech.id) == factory.speech
    # The key is free again.
    assert store.batches.insert("acme", [factory.new()], "key", "another")[1] is False


def test_a_batch_deleted_with_its_inputs_leaves_those_that_others_name(store: Store, factory: JobFactory) -> None:
    shared, own = factory.ready(UploadKind.SPEECH), factory.ready(UploadKind.SPEECH)
    rows = [factory.new(speech=shared.id), factory.new(speech=own.id)]
    batch, _ = store.batches.insert("acme", rows, None, "hash")
    face = factory.ready(UploadKind.PORTRAIT)
    store.jobs.insert("acme", factory.new(portrait=face.id, speech=shared.id))
    store.deletions.batch("acme", batch.id, ACTOR, inputs=True)
    assert pending_deletion(store) == {own.object_key, factory.portrait.object_key}
    assert store.uploads.get("acme", shared.id) == shared
    with pytest.raises(NotFoundError):
        store.uploads.get("acme", own.id)


def test_jobs_and_their_batch_deleted_at_once_do_not_wait_for_each_other(store: Store, factory: JobFactory) -> None:
    for _ in range(5):
        batch, _ = store.batches.insert("acme", [factory.new()] * 10, None, "hash")
        jobs = [job.id for job in store.batches.jobs("acme", batch.id, None, 10).jobs]

        def delete(kind: str, which: UUID) -> None:
            try:
                getattr(store.deletions, kind)("acme", which, ACTOR)
            except NotFoundError:
                return

        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(delete, "job", job) for job in jobs]
            calls.insert(5, pool.submit(delete, "batch", batch.id))
            for call in calls:
                call.result()
        assert column(store, "SELECT count(*) FROM jobs") == [0]


def test_every_object_that_a_row_needs_is_referenced(store: Store, factory: JobFactory) -> None:
    factory.job()
    done = finished(store)
    factory.job()
    running = claimed(store)
    piece = kept(store, running)
    writing = f"{running.attempt_prefix}segment-1.mp4"
    store.deletions.upload("acme", factory.ready(UploadKind.SPEECH).id, ACTOR)
    (waiting,) = store.deletions.pending(1)
    pending = factory.pending(UploadKind.PORTRAIT)
    needed = {
        done.result_key,
        running.result_key,
        piece.object_key,
        writing,
        waiting,
        pending.object_key,
        factory.portrait.object_key,
    }
    strange = {
        done.result_key.replace("1-", "2-"),
        f"results/{uuid4()}/1-{uuid4()}.mp4",
        f"uploads/{'0' * 16}/{pending.id}",
        f"uploads/{'0' * 16}/{uuid4()}",
        f"{done.attempt_prefix}segment-0.mp4",
        "results/------------------------------------/1-x.mp4",
        "readme.txt",
        "",
    }
    assert store.deletions.referenced(needed | strange) == needed
    assert store.deletions.referenced([]) == frozenset()


def test_an_object_that_nobody_knows_is_doomed_and_written_down(store: Store, factory: JobFactory) -> None:
    stray = f"results/{uuid4()}/1-{uuid4()}.mp4"
    assert store.deletions.orphaned([stray, factory.portrait.object_key]) == 1
    assert store.deletions.orphaned([stray]) == 0
    assert pending_deletion(store) == {stray}
    store.deletions.removed([stray])
    swept = column(store, "SELECT actor FROM audit WHERE action = 'orphan' AND completed_at IS NOT NULL")
    assert swept == [SWEEP_ACTOR]


def test_ten_thousand_jobs_are_deleted_in_one_transaction(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new() for _ in range(10_000)], None, "hash")
    assert store.batches.cancel("acme", batch.id).counts[JobState.CANCELLED] == 10_000
    store.deletions.batch("acme", batch.id, ACTOR, inputs=True)
    assert column(store, "SELECT count(*) FROM jobs") == [0]
    assert entry(store, batch.id).objects == 2


def test_deleting_what_is_done_does_not_turn_the_queue_back(store: Store, factory: JobFactory) -> None:
    done, _waiting = factory.job(), factory.job()
    lease = store.leases.claim("worker-1", 10)
    assert lease is not None
    store.leases.finish(lease, 1, 1.0)
    store.deletions.job("acme", done.id, "key:0123")
    (first,) = column(store, "SELECT order_key FROM jobs")
    type(factory)(store, "newcomer").job()
    assert first > 0
    assert column(store, "SELECT order_key FROM jobs WHERE tenant = 'newcomer'") >= [first]
