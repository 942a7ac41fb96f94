"""Shares of long jobs: who may help, which segments are free, and what outlives whom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import change, column, pending_deletion

from dubline.options.render import PRESETS
from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import DatabaseUnavailableError, LeaseLostError
from dubline.orchestration.domain.jobs import Cause, JobState, Stage
from dubline.orchestration.domain.sharing import LARGEST_FAILURES, LEAST_SEGMENTS, SEGMENTS_PER_WORKER

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

KEEP_S, EXPIRED_S = 600.0, -1.0
RENDERER = "f" * 64
FINGERPRINT = RenderFingerprint(
    weights_sha256="a" * 64, render_batch=8, segment_frames=120, encoder_threads=2, renderer_sha256=RENDERER
)
#: Enough for three workers.
SEGMENTS = 3 * SEGMENTS_PER_WORKER


def checkpoint(lease: Lease, kind: CheckpointKind, number: int = 0) -> Checkpoint:
    key = f"{lease.attempt_prefix}{kind}-{number}"
    return Checkpoint(kind=kind, number=number, object_key=key, size_bytes=10, sha256="b" * 64)


def segment(lease: Lease, number: int) -> Checkpoint:
    return checkpoint(lease, CheckpointKind.SEGMENT, number)


def claimed(store: Store, worker: str = "owner:1/1", lease_s: float = KEEP_S) -> Lease:
    lease = store.leases.claim(worker, lease_s)
    assert lease is not None
    return lease


def offered(store: Store, worker: str = "owner:1/1", segments: int = SEGMENTS, lease_s: float = KEEP_S) -> Lease:
    """Claim a job, store its motion and share it."""
    lease = claimed(store, worker, lease_s)
    store.leases.load_checkpoints(lease, FINGERPRINT)
    store.leases.save_checkpoint(lease, checkpoint(lease, CheckpointKind.MOTION))
    store.shares.offer(lease, segments)
    return lease


def helped(store: Store, worker: str = "helper:1/1", lease_s: float = KEEP_S, renderer: str = RENDERER) -> Lease | None:
    return store.shares.claim(worker, lease_s, renderer, presets=PRESETS)


def share_of(store: Store, worker: str = "helper:1/1", lease_s: float = KEEP_S) -> Lease:
    share = helped(store, worker, lease_s)
    assert share is not None
    return share


def causes(store: Store) -> list[str | None]:
    return column(store, "SELECT cause FROM shares WHERE ended_at IS NOT NULL ORDER BY started_at")


def test_workers_reserve_every_segment_once_and_the_owner_the_last(store: Store, factory: JobFactory) -> None:
    factory.job()
    owner = offered(store)
    share = share_of(store)
    assert share.job_id == owner.job_id
    assert store.shares.load_motion(share, FINGERPRINT) == checkpoint(owner, CheckpointKind.MOTION)
    of_share: list[int] = []
    of_owner: list[int] = []
    while (number := store.shares.reserve(share, helps=True).reserved) is not None:
        of_share.append(number)
        store.shares.save_checkpoint(share, segment(share, number))
        if len(of_share) % 2:
            own = store.shares.reserve(owner, helps=False)
            assert own.reserved is not None
            assert own.stored == set(of_share)
            of_owner.append(own.reserved)
    last = store.shares.reserve(owner, helps=False)
    assert last.reserved == SEGMENTS - 1
    assert sorted(of_owner + of_share) == list(range(SEGMENTS - 1))
    assert store.shares.reserve(owner, helps=False).reserved is None
    store.leases.finish(owner, 1, 1.0)
    assert column(store, "SELECT number FROM reserved_segments") == []
    assert column(store, "SELECT object_key FROM checkpoints") == []


def test_a_helper_that_is_lost_frees_its_segment_and_is_blamed(store: Store, factory: JobFactory) -> None:
    factory.job()
    owner = offered(store)
    lost = share_of(store, lease_s=EXPIRED_S)
    assert store.shares.reserve(lost, helps=True).reserved == 0
    assert store.shares.reserve(owner, helps=False).reserved == 0
    assert store.shares.end_expired() == 1
    assert causes(store) == [Cause.WORKER_LOST]
    assert store.workers.read("helper:1/1")[0] == 1
    assert store.jobs.attempts("acme", owner.job_id)[0].outcome is None
    with pytest.raises(LeaseLostError):
        store.shares.save_checkpoint(lost, segment(lost, 0))
    # Neither this worker nor, after too many failures, any other one helps with this job.
    assert helped(store) is None
    for number in range(2, LARGEST_FAILURES + 1):
        share_of(store, f"helper-{number}:1/1", EXPIRED_S)
        store.shares.end_expired()
    assert helped(store, "another:1/1") is None


def test_a_lost_claim_of_a_share_is_ended_if_its_worker_claims_a_job(
    store: Store, factory: JobFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.job()
    offered(store)
    run = store.shares._run

    def lose(statement: str, **values: Any) -> list[Any]:
        run(statement, **values)
        raise DatabaseUnavailableError

    with monkeypatch.context() as patched:
        patched.setattr(store.shares, "_run", lose)
        with pytest.raises(DatabaseUnavailableError):
            helped(store, lease_s=EXPIRED_S)
    factory.job()
    claimed(store, "helper:1/1")
    assert store.shares.end_expired() == 0
    assert causes(store) == [None]
    assert store.workers.read("helper:1/1")[0] == 0


def test_a_share_outlives_the_attempt_that_offered_it(store: Store, factory: JobFactory) -> None:
    factory.job()
    offered(store, lease_s=EXPIRED_S)
    # The owner dies after the share began.
    change(store, "UPDATE jobs SET lease_expires_at = now() + interval '1 min'")
    share = share_of(store)
    assert store.shares.reserve(share, helps=True).reserved == 0
    change(store, "UPDATE jobs SET lease_expires_at = now() - interval '1 s'")
    assert store.leases.rescue_expired() == 1
    # It takes nothing of a job that nobody holds, but what it has rendered is stored.
    with pytest.raises(LeaseLostError):
        store.shares.reserve(share, helps=True)
    store.shares.save_checkpoint(share, segment(share, 0))
    successor = claimed(store, "successor:1/1")
    assert [one.number for one in store.leases.load_checkpoints(successor, FINGERPRINT)] == [0, 0]
    assert store.shares.reserve(share, helps=True).reserved == 1
    assert store.shares.reserve(successor, helps=False).reserved == 2


ENDS: dict[str, Callable[[Store, Lease], object]] = {
    "finished": lambda store, owner: store.leases.finish(owner, 1, 1.0),
    "failed": lambda store, owner: store.leases.fail(owner, Cause.DEFECT, "x", "y"),
    "cancelled": lambda store, owner: store.jobs.cancel(owner.tenant, owner.job_id),
    "deleted": lambda store, owner: store.deletions.job(owner.tenant, owner.job_id, "key"),
    "of another renderer": lambda store, owner: store.leases.load_checkpoints(
        owner, replace(FINGERPRINT, renderer_sha256="e" * 64)
    ),
    "of other batches": lambda store, owner: store.leases.load_checkpoints(owner, replace(FINGERPRINT, render_batch=4)),
}
WRITES: dict[str, Callable[[Store, Lease], object]] = {
    "renew": lambda store, share: store.shares.renew(share, KEEP_S),
    "progress": lambda store, share: store.shares.progress(share, 9.0),
    "reserve": lambda store, share: store.shares.reserve(share, helps=True),
    "save": lambda store, share: store.shares.save_checkpoint(share, segment(share, 0)),
    "motion": lambda store, share: store.shares.load_motion(share, FINGERPRINT),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_job_that_ended_refuses_every_write_of_a_share(store: Store, factory: JobFactory, end: str) -> None:
    factory.job()
    owner = offered(store)
    share = share_of(store)
    store.shares.reserve(share, helps=True)
    ENDS[end](store, owner)
    for write in WRITES.values():
        with pytest.raises(LeaseLostError):
            write(store, share)
    assert column(store, "SELECT number FROM checkpoints WHERE kind = 'segment'") == []
    assert column(store, "SELECT gpu_s FROM jobs") in ([], [0.0])
    assert helped(store, "another:1/1") is None


def test_a_claim_of_the_previous_release_discards_checkpoints_and_shares(store: Store, factory: JobFactory) -> None:
    factory.job()
    owner = offered(store)
    store.leases.save_checkpoint(owner, segment(owner, 0))
    share = share_of(store)
    store.leases.release(owner)
    previous = claimed(store, "previous:1/1")
    # The previous release does not know the column, so its default is false.
    change(store, "DELETE FROM attempts WHERE token = :token", token=previous.token)
    change(
        store,
        "INSERT INTO attempts (job_id, number, token, worker) VALUES (:job_id, 2, :token, 'previous:1/1')",
        job_id=previous.job_id,
        token=previous.token,
    )
    assert column(store, "SELECT object_key FROM checkpoints") == []
    assert len(pending_deletion(store)) == 2
    with pytest.raises(LeaseLostError):
        store.shares.save_checkpoint(share, segment(share, 1))
    # Its own checkpoints are not used by this release.
    store.leases.save_checkpoint(previous, segment(previous, 0))
    store.leases.release(previous)
    assert store.leases.load_checkpoints(claimed(store), FINGERPRINT) == ()


def test_only_idle_workers_of_the_same_renderer_help(store: Store, factory: JobFactory) -> None:
    factory.job()
    owner = offered(store)
    assert helped(store, "owner:1/2") is None
    assert helped(store, renderer="e" * 64) is None
    assert store.shares.claim("helper:1/1", KEEP_S, RENDERER, presets=["unknown"]) is None
    change(store, "INSERT INTO workers (name, leaving_until) VALUES ('helper:1', now() + interval '1 min')")
    assert helped(store) is None
    store.workers.stay(["helper"])
    assert share_of(store).job_id == owner.job_id


def test_a_job_gets_as_many_workers_as_its_segments_are_worth(store: Store, factory: JobFactory) -> None:
    factory.job()
    owner = offered(store)
    for number in range(2):
        share_of(store, f"helper-{number}:1/1")
    assert helped(store, "another:1/1") is None
    assert store.leases.claim("another:1/1", KEEP_S) is None
    store.shares.offer(owner, LEAST_SEGMENTS - 1)
    assert helped(store, "another:1/1") is None


def test_the_job_with_the_fewest_workers_is_helped_first(store: Store, factory: JobFactory) -> None:
    for _ in range(2):
        factory.job()
    first, second = offered(store, "owner-1:1/1"), offered(store, "owner-2:1/1")
    helpers = [share_of(store, f"helper-{number}:1/1").job_id for number in range(4)]
    assert helpers == [first.job_id, second.job_id] * 2


def test_shares_count_as_running_work_of_the_tenant(store: Store) -> None:
    acme, other = JobFactory(store, "acme"), JobFactory(store, "other")
    acme.job()
    offered(store)
    for number in range(2):
        # A worker that claims a share has found no job, and is alive.
        assert store.leases.claim(f"helper-{number}:1/1", KEEP_S) is None
        share_of(store, f"helper-{number}:1/1")
    # The tenant has three of four workers, so the other one comes first although it came later.
    acme.job()
    change(store, "UPDATE jobs SET order_key = -1 WHERE state = 'queued'")
    other.job()
    assert claimed(store, "fourth:1/1").tenant == "other"


def test_a_limit_on_running_jobs_includes_shares(store: Store, factory: JobFactory) -> None:
    factory.job()
    store.tenants.set_limits("acme", {"running_jobs": 2})
    offered(store)
    share_of(store)
    assert helped(store, "another:1/1") is None
    second = factory.job()
    assert store.leases.claim("another:1/1", KEEP_S) is None
    # The helper leaves its share for a job, so its own does not count.
    assert claimed(store, "helper:1/1").job_id == second.id


def test_device_time_of_shares_is_added_to_the_job_once(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    owner = offered(store)
    store.leases.progress(owner, Stage.RENDERING, 50, gpu_s=2.0)
    share = share_of(store)
    store.shares.progress(share, 1.0)
    store.shares.progress(share, 1.5)
    store.shares.progress(share, 1.0)
    store.shares.end(share, gpu_s=3.0)
    with pytest.raises(LeaseLostError):
        store.shares.end(share, gpu_s=9.0)
    assert store.jobs.get("acme", job.id).gpu_s == 5.0
    store.leases.finish(owner, 1, 1.0, gpu_s=4.0)
    assert store.jobs.get("acme", job.id).gpu_s == 7.0


def test_helpers_shorten_the_prediction_and_count_as_busy(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    offered(store)
    before = store.predictions.open_job("acme", job.id)
    share_of(store)
    after = store.predictions.open_job("acme", job.id)
    assert before is not None
    assert after is not None
    assert after.work_s == pytest.approx(before.work_s / 2)
    assert {one.host for one in store.workers.running()} == {"owner", "helper"}
    change(store, "INSERT INTO workers (name) VALUES ('helper:1'), ('idle:1') ON CONFLICT DO NOTHING")
    assert store.workers.leave(["owner", "helper", "idle"], 60) == {"idle"}


def test_segments_of_others_teach_nothing_about_the_pool(store: Store, factory: JobFactory) -> None:
    factory.job()
    owner = offered(store)
    share = share_of(store)
    for number in range(3):
        assert store.shares.reserve(share, helps=True).reserved == number
        store.shares.save_checkpoint(share, segment(share, number))
    store.leases.finish(owner, 1, 1.0)
    assert column(store, "SELECT weight FROM learned_rates") == [0.25]


def test_a_deleted_job_leaves_no_share(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    offered(store)
    share = share_of(store)
    store.shares.reserve(share, helps=True)
    assert store.jobs.get("acme", job.id).state is JobState.RUNNING
    store.deletions.job("acme", job.id, "key")
    assert column(store, "SELECT token FROM shares") == []
    assert column(store, "SELECT token FROM reserved_segments") == []
