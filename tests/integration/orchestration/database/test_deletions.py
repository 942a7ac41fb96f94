from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from tests.integration.orchestration.rows import column, pending_deletion

from dubline.orchestration.database.store.deletion import removal
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.audit import SWEEP_ACTOR, AuditAction, AuditSubject
from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import LeaseLostError, NotFoundError, UploadInUseError
from dubline.orchestration.domain.jobs import Cause, JobState
from dubline.orchestration.domain.uploads import UploadKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.audit import AuditEntry
    from dubline.orchestration.domain.leases import Lease

ACTOR = "key:0123456789ab"
FINGERPRINT = RenderFingerprint(
    weights_sha256="a" * 64, render_batch=4, segment_frames=100, encoder_threads=2, renderer_sha256="f" * 64
)


def claimed(store: Store) -> Lease:
    lease = store.leases.claim("worker-1", 10)
    assert lease is not None
    return lease


def finished(store: Store) -> Lease:
    lease = claimed(store)
    store.leases.finish(lease, 1, 1.0)
    return lease


def saved_checkpoint(store: Store, lease: Lease) -> Checkpoint:
    key = f"{lease.attempt_prefix}segment-0.mp4"
    checkpoint = Checkpoint(kind=CheckpointKind.SEGMENT, number=0, object_key=key, size_bytes=1, sha256="b" * 64)
    store.leases.load_checkpoints(lease, FINGERPRINT)
    store.leases.save_checkpoint(lease, checkpoint)
    return checkpoint


def entry(store: Store, subject_id: UUID) -> AuditEntry:
    (found,) = store.deletions.audit("acme", subject_id)
    return found


def test_the_object_of_a_deleted_upload_is_pending_deletion(store: Store, factory: JobFactory) -> None:
    upload = factory.ready(UploadKind.SPEECH)
    audit_id = store.deletions.upload("acme", upload.id, ACTOR)
    with pytest.raises(NotFoundError):
        store.uploads.get("acme", upload.id)
    assert store.deletions.pending(10) == (upload.object_key,)
    recorded = entry(store, upload.id)
    assert (recorded.id, recorded.actor, recorded.action, recorded.subject_kind) == (
        audit_id,
        ACTOR,
        AuditAction.DELETE,
        AuditSubject.UPLOAD,
    )
    assert (recorded.objects, recorded.completed_at) == (1, None)


def test_an_upload_that_an_open_job_uses_is_not_deleted(store: Store, factory: JobFactory) -> None:
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
    assert column(store, "SELECT count(*) FROM audit WHERE action = 'delete'") == [0]


def test_a_deletion_is_complete_when_its_last_object_is_removed(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    saved_checkpoint(store, claimed(store))
    store.deletions.job("acme", job.id, ACTOR)
    first, *others = store.deletions.pending(10)
    store.deletions.removed([first])
    assert entry(store, job.id).completed_at is None
    store.deletions.removed([*others, "unknown"])
    recorded = entry(store, job.id)
    assert (recorded.objects, recorded.completed_at is not None) == (2, True)
    assert store.deletions.pending(10) == ()


def test_a_deletion_without_objects_is_complete_at_once(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    store.deletions.job("acme", job.id, ACTOR)
    assert entry(store, job.id).completed_at is not None


def test_the_video_of_a_deleted_job_is_pending_deletion(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease = finished(store)
    store.deletions.job("acme", job.id, ACTOR)
    with pytest.raises(NotFoundError):
        store.jobs.get("acme", job.id)
    assert column(store, "SELECT count(*) FROM attempts") == [0]
    assert pending_deletion(store) == {lease.result_key}
    with pytest.raises(NotFoundError):
        store.deletions.job("acme", job.id, ACTOR)


def test_videos_of_earlier_attempts_are_deleted_too(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lost = claimed(store)
    store.leases.retry(lost, Cause.TRANSIENT, "storage_unavailable", "Away.", 0)
    lease = claimed(store)
    checkpoint = saved_checkpoint(store, lease)
    store.deletions.job("acme", job.id, ACTOR)
    assert pending_deletion(store) == {lost.result_key, lease.result_key, checkpoint.object_key}


def test_writes_to_a_deleted_job_are_refused(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    lease = claimed(store)
    store.deletions.job("acme", job.id, ACTOR)
    with pytest.raises(LeaseLostError):
        store.leases.renew(lease, 10)
    with pytest.raises(LeaseLostError):
        store.leases.finish(lease, 1, 1.0)
    assert column(store, "SELECT count(*) FROM jobs") == [0]


def test_deleted_jobs_are_not_counted_by_their_batch(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new(), factory.new()], None, "hash")
    done, other = store.batches.jobs("acme", batch.id, None, 2).jobs
    assert finished(store).job_id == done.id
    store.deletions.job("acme", other.id, ACTOR)
    left = store.batches.get("acme", batch.id)
    assert (left.row_count, left.finished, left.progress_percent) == (1, True, 100)
    store.deletions.job("acme", done.id, ACTOR)
    empty = store.batches.get("acme", batch.id)
    assert (empty.row_count, empty.finished, empty.progress_percent) == (0, True, 100)


def test_deleting_a_batch_deletes_its_jobs_and_keeps_its_uploads(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new(), factory.new()], "key", "hash")
    other = factory.job()
    lease, running = finished(store), claimed(store)
    checkpoint = saved_checkpoint(store, running)
    store.deletions.batch("acme", batch.id, ACTOR)
    with pytest.raises(NotFoundError):
        store.batches.get("acme", batch.id)
    assert column(store, "SELECT id FROM jobs") == [other.id]
    assert pending_deletion(store) == {lease.result_key, running.result_key, checkpoint.object_key}
    assert entry(store, batch.id).objects == 3
    assert store.uploads.get("acme", factory.speech.id) == factory.speech
    # The key can be used again.
    assert store.batches.insert("acme", [factory.new()], "key", "another")[1] is False


def test_inputs_that_other_jobs_use_are_not_deleted(store: Store, factory: JobFactory) -> None:
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


def test_concurrent_deletions_of_jobs_and_their_batch_do_not_deadlock(store: Store, factory: JobFactory) -> None:
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


def test_every_object_that_a_row_refers_to_is_referenced(store: Store, factory: JobFactory) -> None:
    factory.job()
    done = finished(store)
    factory.job()
    running = claimed(store)
    checkpoint = saved_checkpoint(store, running)
    writing = f"{running.attempt_prefix}segment-1.mp4"
    store.deletions.upload("acme", factory.ready(UploadKind.SPEECH).id, ACTOR)
    (waiting,) = store.deletions.pending(1)
    pending = factory.pending(UploadKind.PORTRAIT)
    referenced = {
        done.result_key,
        running.result_key,
        checkpoint.object_key,
        writing,
        waiting,
        pending.object_key,
        factory.portrait.object_key,
    }
    unreferenced = {
        done.result_key.replace("1-", "2-"),
        f"results/{uuid4()}/1-{uuid4()}.mp4",
        f"uploads/{'0' * 16}/{pending.id}",
        f"uploads/{'0' * 16}/{uuid4()}",
        f"{done.attempt_prefix}segment-0.mp4",
        "results/------------------------------------/1-x.mp4",
        "readme.txt",
        "",
    }
    assert store.deletions.referenced(referenced | unreferenced) == referenced
    assert store.deletions.referenced([]) == frozenset()


def test_an_orphan_is_marked_for_deletion_with_an_audit_entry(store: Store, factory: JobFactory) -> None:
    orphan = f"results/{uuid4()}/1-{uuid4()}.mp4"
    assert store.deletions.orphaned([orphan, factory.portrait.object_key]) == 1
    assert store.deletions.orphaned([orphan]) == 0
    assert pending_deletion(store) == {orphan}
    store.deletions.removed([orphan])
    swept = column(store, "SELECT actor FROM audit WHERE action = 'orphan' AND completed_at IS NOT NULL")
    assert swept == [SWEEP_ACTOR]


def test_ten_thousand_jobs_are_deleted_in_one_transaction(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new() for _ in range(10_000)], None, "hash")
    assert store.batches.cancel("acme", batch.id).counts[JobState.CANCELLED] == 10_000
    store.deletions.batch("acme", batch.id, ACTOR, inputs=True)
    assert column(store, "SELECT count(*) FROM jobs") == [0]
    assert entry(store, batch.id).objects == 2


def test_other_jobs_are_searched_once_for_each_upload(store: Store, factory: JobFactory) -> None:
    """In the order of joins that stale statistics can lead to."""
    batch, _ = store.batches.insert("acme", [factory.new()] * 100, None, "hash")
    jobs = [job.id for job in store.batches.jobs("acme", batch.id, None, 100).jobs]
    off = ("join_collapse_limit = 1", "enable_hashjoin = off", "enable_mergejoin = off", "enable_material = off")
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {removal._SELECT_NAMED.text}"
    with transaction(store._engine) as session:
        for setting in off:
            session.execute(text(f"SET LOCAL {setting}"))
        uploads = removal.inputs_of(session, jobs)
        (plan,) = session.scalars(text(explain), {"tenant": "acme", "ids": list(uploads)})
    searches = [node["Actual Loops"] for node in nodes(plan[0]["Plan"]) if node.get("Alias", "").startswith("others")]
    assert searches
    assert max(searches) <= 2


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def test_deleting_final_jobs_does_not_reset_the_queue(store: Store, factory: JobFactory) -> None:
    done, _waiting = factory.job(), factory.job()
    lease = store.leases.claim("worker-1", 10)
    assert lease is not None
    store.leases.finish(lease, 1, 1.0)
    # The clock of the queue is the key of the job that was claimed.
    (clock,) = column(store, "SELECT order_key FROM jobs WHERE id = :id", id=done.id)
    store.deletions.job("acme", done.id, "key:0123")
    (first,) = column(store, "SELECT order_key FROM jobs")
    type(factory)(store, "newcomer").job()
    assert first > clock
    assert column(store, "SELECT order_key FROM jobs WHERE tenant = 'newcomer'") == [clock]
