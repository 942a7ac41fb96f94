"""Workers that are about to be removed: what they run, and the mark that keeps idle ones from claiming."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.integration.orchestration.rows import change

from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind
from dubline.orchestration.domain.events import Cursor, EventKind
from dubline.orchestration.domain.jobs import Stage

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store

LEASE_S, LEAVE_S = 60.0, 60.0


def test_running_jobs_are_read_with_host_and_what_is_unsaved(store: Store, factory: JobFactory) -> None:
    store.jobs.insert("acme", factory.new(preset="tiny"))
    lease = store.leases.claim("pod-a:1/2", LEASE_S)
    assert lease is not None
    store.leases.progress(lease, Stage.RENDERING, 75)
    change(store, "UPDATE attempts SET started_at = now() - interval '100 s'")
    (running,) = store.workers.running()
    assert (running.host, running.preset) == ("pod-a", "tiny")
    assert running.unsaved_s == pytest.approx(100, abs=30)


def test_what_is_unsaved_counts_from_the_last_checkpoint(store: Store, factory: JobFactory) -> None:
    factory.job()
    lease = store.leases.claim("pod-a:1/2", LEASE_S)
    assert lease is not None
    change(store, "UPDATE attempts SET started_at = now() - interval '1000 s'")
    key = f"{lease.attempt_prefix}0"
    kept = Checkpoint(kind=CheckpointKind.SEGMENT, number=0, object_key=key, size_bytes=1, sha256="0" * 64)
    store.leases.save_checkpoint(lease, kept)
    assert store.workers.running()[0].unsaved_s < 500


def test_a_leaving_worker_claims_nothing_until_it_may_stay(store: Store, factory: JobFactory) -> None:
    assert store.leases.claim("pod-a:1/2", LEASE_S) is None
    assert store.workers.leave(["pod-a", "pod-b"], LEAVE_S) == {"pod-a"}
    factory.job()
    assert store.leases.claim("pod-a:1/3", LEASE_S) is None
    store.workers.stay(["pod-a"])
    assert store.leases.claim("pod-a:1/3", LEASE_S) is not None


def test_the_mark_of_a_leaving_worker_expires(store: Store, factory: JobFactory) -> None:
    store.leases.claim("pod-a:1/2", LEASE_S)
    store.workers.leave(["pod-a"], LEAVE_S)
    change(store, "UPDATE workers SET leaving_until = now()")
    factory.job()
    assert store.leases.claim("pod-a:1/2", LEASE_S) is not None


def test_a_job_that_one_worker_may_not_claim_goes_to_another(store: Store, factory: JobFactory) -> None:
    store.leases.claim("pod-a:1/2", LEASE_S)
    store.workers.leave(["pod-a"], LEAVE_S)
    job = factory.job()
    assert store.leases.claim("pod-a:1/2", LEASE_S) is None
    lease = store.leases.claim("pod-b:1/2", LEASE_S)
    assert lease is not None
    assert lease.job_id == job.id


def test_a_worker_with_a_job_is_not_marked(store: Store, factory: JobFactory) -> None:
    factory.job()
    assert store.leases.claim("pod-a:1/2", LEASE_S) is not None
    assert store.workers.leave(["pod-a"], LEAVE_S) == frozenset()


def test_an_event_of_a_pool_is_read_like_any_other(store: Store) -> None:
    subject = uuid4()
    store.events.append(EventKind.POOL_DECIDED, subject, {"pool": "gpu", "workers": 3})
    (event,) = store.events.after(Cursor(), {EventKind.POOL_DECIDED})
    assert (event.subject_id, event.tenant, event.payload) == (subject, None, {"pool": "gpu", "workers": 3})
