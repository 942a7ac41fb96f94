from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.orchestration.rows import change, column

from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.jobs import Cause, JobState
from dubline.orchestration.domain.sharing import LEAST_SEGMENTS
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.maintenance.metrics import OVERDUE, RESCUED
from dubline.orchestration.maintenance.rescuer import GRACE_PERIOD_S, OUTAGE_S, Rescuer

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.jobs import Job

EXPIRED_S = -1.0
FINGERPRINT = RenderFingerprint(
    weights_sha256="a" * 64, render_batch=8, segment_frames=120, encoder_threads=2, renderer_sha256="f" * 64
)


class Clock:
    """A clock that the test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_an_expired_lease_is_rescued_at_the_next_run(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    rescuer = long_started(store, Clock())
    store.leases.claim("lost", EXPIRED_S)
    rescuer.run()
    assert store.jobs.get(job.tenant, job.id).state is JobState.RETRYING


def long_started(store: Store, clock: Clock) -> Rescuer:
    """Return a rescuer that has run every second since the end of its first grace period."""
    rescuer = Rescuer(store, clock)
    for _ in range(int(GRACE_PERIOD_S)):
        clock.now_s += 1
        rescuer.run()
    return rescuer


def test_a_new_process_gives_workers_time_to_renew_their_leases(store: Store, factory: JobFactory) -> None:
    renewed, lost = factory.job(), factory.job()
    leases = [store.leases.claim(worker, EXPIRED_S) for worker in ("one", "two")]
    clock = Clock()
    rescuer = Rescuer(store, clock)
    rescuer.run()
    for lease in leases:
        if lease is not None and lease.job_id == renewed.id:
            store.leases.renew(lease, 60)
    clock.now_s += GRACE_PERIOD_S / 2
    Rescuer(store, clock).run()
    assert states(store, renewed, lost) == [JobState.RUNNING, JobState.RUNNING]


def test_a_new_process_rescues_after_the_grace_period(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    store.leases.claim("lost", EXPIRED_S)
    clock = Clock()
    long_started(store, clock)
    assert states(store, job) == [JobState.RETRYING]


def test_a_lost_prober_gives_its_upload_back_and_is_counted(store: Store, factory: JobFactory) -> None:
    factory.probing(UploadKind.SPEECH)
    rescuer = long_started(store, Clock())
    assert store.uploads.claim("lost", EXPIRED_S) is not None
    before = RESCUED.labels("upload")._value.get()
    rescuer.run()
    assert RESCUED.labels("upload")._value.get() == before + 1
    change(store, "UPDATE uploads SET probe_after = now()")
    assert store.uploads.claim("other", 60) is not None


def test_a_lost_helper_frees_its_segment_and_is_counted(store: Store, factory: JobFactory) -> None:
    factory.job()
    rescuer = long_started(store, Clock())
    owner = store.leases.claim("owner:1/1", 60)
    assert owner is not None
    motion = Checkpoint(
        kind=CheckpointKind.MOTION, number=0, object_key=f"{owner.attempt_prefix}m", size_bytes=1, sha256="b" * 64
    )
    store.leases.load_checkpoints(owner, FINGERPRINT)
    store.leases.save_checkpoint(owner, motion)
    store.shares.offer(owner, LEAST_SEGMENTS)
    share = store.shares.claim("lost:1/1", EXPIRED_S, FINGERPRINT.renderer_sha256, presets=("base",))
    assert share is not None
    before = RESCUED.labels("share")._value.get()
    rescuer.run()
    assert RESCUED.labels("share")._value.get() == before + 1
    assert column(store, "SELECT cause FROM shares") == [Cause.WORKER_LOST]


def test_a_job_past_its_deadline_fails_during_the_grace_period_too(store: Store, factory: JobFactory) -> None:
    job = store.jobs.insert("acme", factory.new(deadline_s=3600.0))
    change(store, "UPDATE jobs SET deadline_at = now() - interval '1 s'")
    before = OVERDUE._value.get()
    Rescuer(store, Clock()).run()
    assert states(store, job) == [JobState.FAILED]
    assert OVERDUE._value.get() == before + 1


def states(store: Store, *jobs: Job) -> list[JobState]:
    return [store.jobs.get(job.tenant, job.id).state for job in jobs]


def test_after_an_outage_workers_have_time_to_renew_their_leases(store: Store, factory: JobFactory) -> None:
    renewed, lost = factory.job(), factory.job()
    clock = Clock()
    rescuer = long_started(store, clock)
    leases = [store.leases.claim(worker, EXPIRED_S) for worker in ("one", "two")]
    held = next(lease for lease in leases if lease is not None and lease.job_id == renewed.id)
    clock.now_s += 3 * OUTAGE_S
    back = clock.now_s
    rescuer.run()
    store.leases.renew(held, 60)
    while clock.now_s < back + GRACE_PERIOD_S:
        assert store.jobs.get(lost.tenant, lost.id).state is JobState.RUNNING
        clock.now_s += 1
        rescuer.run()
    assert store.jobs.get(lost.tenant, lost.id).state is JobState.RETRYING
    assert store.jobs.get(renewed.tenant, renewed.id).state is JobState.RUNNING
