from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.integration.orchestration.rows import change

from dubline.orchestration.domain.jobs import Stage
from dubline.orchestration.domain.usage import Usage

if TYPE_CHECKING:
    import pytest
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease


def claim(store: Store) -> Lease:
    lease = store.leases.claim("worker-1", 60)
    assert lease is not None
    return lease


def read(store: Store, tenant: str = "acme") -> tuple[Usage, ...]:
    return store.usage.of_tenant(tenant, date(2000, 1, 1), date(2100, 1, 1))


def test_each_end_of_a_job_counts_as_usage(store: Store, factory: JobFactory) -> None:
    factory.job()
    store.leases.finish(claim(store), 1000, 3.0, 7.5)
    store.jobs.cancel("acme", factory.job().id)
    running = factory.job()
    lease = claim(store)
    store.leases.progress(lease, Stage.RENDERING, 1.0, 2.0)
    store.deletions.job("acme", running.id, "key:x")
    factory.job()
    (usage,) = read(store)
    assert usage == Usage(
        tenant="acme",
        day=usage.day,
        preset="base",
        jobs=3,
        succeeded=1,
        failed=0,
        cancelled=2,
        video_s=3.0,
        device_s=9.5,
        size_bytes=1000,
    )
    assert abs((datetime.now(UTC).date() - usage.day).days) <= 1
    assert store.usage.of_all(usage.day, usage.day) == (usage,)


def test_usage_remains_after_deletion(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    store.leases.finish(claim(store), 1000, 3.0, 7.5)
    before = read(store)
    store.deletions.job("acme", job.id, "key:x")
    assert read(store) == before != ()


def test_a_tenant_sees_its_own_usage_only(store: Store, factory: JobFactory) -> None:
    store.jobs.cancel("acme", factory.job().id)
    store.keys.create("globex")
    assert read(store, "globex") == ()


def test_a_trace_of_all_times_reads_only_hours_with_jobs(
    store: Store, factory: JobFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    arrivals = [now - timedelta(days=9000), now - timedelta(minutes=90), now - timedelta(minutes=31), now]
    for number, arrival in enumerate(arrivals, 1):
        job = factory.job()
        store.leases.finish(claim(store), 1000, 3.0, float(number))
        change(store, "UPDATE jobs SET created_at = :at WHERE id = :id", at=arrival, id=job.id)
    store.jobs.cancel("acme", factory.job().id)
    run, calls = store.usage._run, []

    def counted(statement: str, **values: Any) -> list[Any]:
        calls.append(statement)
        assert len(calls) < 20
        return run(statement, **values)

    monkeypatch.setattr(store.usage, "_run", counted)
    expected = [(arrival, float(number), "base") for number, arrival in enumerate(arrivals, 1)]
    assert list(store.usage.trace(date.min, date.max)) == expected
    day = arrivals[0].date()
    assert list(store.usage.trace(day, day)) == expected[:1]
    assert list(store.usage.trace(day + timedelta(days=1), day + timedelta(days=1))) == []
