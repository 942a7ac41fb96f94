"""No tenant delays another one: what was cancelled, deleted or not yet probed costs nobody a place in the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import change, column

from dubline.options.render import PRESETS
from dubline.orchestration.database.store.attempts.claim import claim_of
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.jobs import Cause
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.maintenance.rescuer import Rescuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

KEEP_S = 600.0
HOUR_S = 3600.0


def place(store: Store, job_id: UUID) -> int:
    """Return how many waiting jobs are claimed up to and including a waiting job."""
    before = "SELECT count(*) FROM jobs, (SELECT * FROM jobs WHERE id = :id) AS this WHERE jobs.state = 'queued'"
    before += " AND (jobs.order_key, jobs.created_at, jobs.id) <= (this.order_key, this.created_at, this.id)"
    (count,) = column(store, before, id=job_id)
    return int(count)


def send(factory: JobFactory, count: int, duration_s: float = 3.0) -> list[UUID]:
    """Send a batch of equal jobs; return their ids in order."""
    speech = factory.ready(UploadKind.SPEECH, duration_s)
    rows = [factory.new(speech=speech.id) for _ in range(count)]
    batch, _ = factory.store.batches.insert(factory.tenant, rows, None, "hash")
    return column(factory.store, "SELECT id FROM jobs WHERE batch_id = :id ORDER BY position", id=batch.id)


def cancel(store: Store, job_id: UUID) -> None:
    """Cancel the batch of a job."""
    (batch_id,) = column(store, "SELECT batch_id FROM jobs WHERE id = :id", id=job_id)
    store.batches.cancel("acme", batch_id)


def claimed(store: Store, worker: str = "worker-1") -> Lease:
    lease = store.leases.claim(worker, KEEP_S)
    assert lease is not None
    return lease


def run_one(store: Store) -> UUID:
    lease = claimed(store)
    store.leases.finish(lease, 1, 1.0)
    return lease.job_id


@pytest.fixture
def acme(store: Store) -> JobFactory:
    return JobFactory(store, "acme")


@pytest.fixture
def other(store: Store) -> JobFactory:
    return JobFactory(store, "other")


def test_a_tenant_that_cancelled_long_jobs_keeps_its_place(store: Store, acme: JobFactory, other: JobFactory) -> None:
    long = send(acme, 1000, HOUR_S)
    send(other, 500)
    cancel(store, long[0])
    assert place(store, acme.job().id) <= 2


def test_jobs_behind_cancelled_ones_move_forward(store: Store, acme: JobFactory, other: JobFactory) -> None:
    first = acme.job()
    long = send(acme, 20, HOUR_S)
    behind = send(acme, 3)
    send(other, 50)
    cancel(store, long[0])
    assert place(store, behind[0]) > 50
    Rescuer(store).run()
    after = acme.job()
    keys = [
        column(store, "SELECT order_key FROM jobs WHERE id = :id", id=one)[0] for one in [first.id, *behind, after.id]
    ]
    (cost_s,) = column(store, "SELECT cost_s FROM jobs WHERE id = :id", id=first.id)
    assert keys == pytest.approx([keys[0] + cost_s * number for number in range(5)])


def test_single_cancellations_move_jobs_as_far_as_one_of_a_batch(
    store: Store, acme: JobFactory, other: JobFactory
) -> None:
    mixed = send(acme, 30, HOUR_S)
    send(other, 50)
    for job_id in mixed[::2]:
        store.jobs.cancel("acme", job_id)
    store.jobs.refund()
    keys = column(store, "SELECT order_key FROM jobs WHERE tenant = 'acme' AND state = 'queued' ORDER BY position")
    costs = column(store, "SELECT cost_s FROM jobs WHERE tenant = 'acme' AND state = 'queued'")
    assert keys == pytest.approx([keys[0] + costs[0] * number for number in range(15)])
    # Its key may equal that of the first job of the other tenant.
    assert place(store, mixed[1]) <= 2
    assert column(store, "SELECT refund_from_s FROM tenants") == [None, None]


def test_a_job_that_ran_is_not_refunded(store: Store, acme: JobFactory, other: JobFactory) -> None:
    send(acme, 1, HOUR_S)
    held = claimed(store)
    send(other, 50)
    store.jobs.cancel("acme", held.job_id)
    store.deletions.job("acme", held.job_id, "key:1")
    assert place(store, acme.job().id) == 51


def test_deleting_finished_jobs_sets_no_clock_back(store: Store, acme: JobFactory, other: JobFactory) -> None:
    send(acme, 9, HOUR_S)
    for _ in range(9):
        store.deletions.job("acme", run_one(store), "key:1")
    send(other, 300, 100.0)
    # Of nine hours the ninth is still charged: the time of 36 jobs of the other tenant.
    assert place(store, acme.job().id) <= 38


def test_the_clock_of_a_queue_is_the_largest_key_claimed(store: Store, acme: JobFactory) -> None:
    first, second = send(acme, 2)
    leases = [claimed(store), claimed(store)]
    clock = "SELECT at_s FROM queue_clocks WHERE queue = 'render'"
    assert column(store, clock) == column(store, "SELECT order_key FROM jobs WHERE id = :id", id=second)
    store.leases.retry(leases[0], Cause.TRANSIENT, "x", "y", 0)
    before = column(store, clock)
    assert claimed(store).job_id == first
    assert column(store, clock) == before


def test_an_upload_is_probed_soon_behind_many_of_another_tenant(
    store: Store, acme: JobFactory, other: JobFactory
) -> None:
    for _ in range(30):
        other.probing(UploadKind.SPEECH)
    mine = acme.probing(UploadKind.PORTRAIT)
    first = [lease.upload.id for _ in range(2) if (lease := store.uploads.claim("prober", KEEP_S))]
    assert mine.id in first


def test_an_upload_deleted_before_its_probe_is_refunded(store: Store, acme: JobFactory) -> None:
    key = acme.probing(UploadKind.SPEECH).id
    before = column(store, "SELECT probe_time_s FROM tenants")
    store.deletions.upload("acme", acme.probing(UploadKind.SPEECH).id, "key:1")
    assert column(store, "SELECT probe_time_s FROM tenants") == pytest.approx(before)
    lease = store.uploads.claim("prober", KEEP_S)
    assert lease is not None
    assert lease.upload.id == key
    store.deletions.upload("acme", key, "key:1")
    assert column(store, "SELECT probe_time_s FROM tenants") == pytest.approx(before)


def test_a_tenant_leaves_a_quarter_of_the_workers_to_others(store: Store, acme: JobFactory, other: JobFactory) -> None:
    workers = [f"worker-{number}" for number in range(8)]
    for name in workers:
        change(store, "INSERT INTO workers (name) VALUES (:name)", name=name)
    send(other, 1, HOUR_S)
    claimed(store, "gone")
    late = send(other, 1)
    send(acme, 20)
    first = [claimed(store, worker).tenant for worker in workers[:6]]
    assert first == ["acme"] * 6
    # The other tenant's key is an hour ahead. Its job is claimed all the same, and then nobody else waits.
    assert claimed(store, workers[6]).job_id == late[0]
    assert claimed(store, workers[7]).tenant == "acme"


def test_a_retried_job_is_found_behind_a_tenant_that_is_full(store: Store, acme: JobFactory, other: JobFactory) -> None:
    for name in ("worker-1", "worker-2", "worker-3"):
        change(store, "INSERT INTO workers (name) VALUES (:name)", name=name)
    other.job()
    store.leases.retry(claimed(store, "worker-3"), Cause.TRANSIENT, "x", "y", 0)
    change(store, "UPDATE jobs SET order_key = order_key + 1e6")
    send(acme, 20)
    assert [claimed(store, worker).tenant for worker in ("worker-1", "worker-2")] == ["acme"] * 2
    assert claimed(store, "worker-3").tenant == "other"


def test_a_claim_does_not_read_jobs_whose_pause_is_not_over(store: Store, acme: JobFactory) -> None:
    send(acme, 500)
    change(
        store,
        "UPDATE jobs SET state = 'retrying', attempt_count = 1, started_at = now(),"
        " available_at = now() + interval '1 h' WHERE position < 498",
    )
    change(store, "ANALYZE jobs")
    values = {
        "token": uuid4(),
        "worker": "worker-1",
        "worker_name": "worker-1",
        "pool": "default",
        "held": "",
        "lease_s": KEEP_S,
    }
    with transaction(store._engine) as session:
        explained = (
            session.connection()
            .exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {claim_of(PRESETS)}", values)
            .scalar_one()
        )
    read = [
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in nodes(explained[0]["Plan"])
        if node.get("Relation Name") == "jobs"
    ]
    assert 0 < max(read) < 50


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)
