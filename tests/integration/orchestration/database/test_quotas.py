from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import counted_holdings

from dubline.orchestration.database.store.accounts.holdings import SUM_FROM
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.audit import OPERATOR_ACTOR
from dubline.orchestration.domain.errors import NotFoundError, QuotaExceededError
from dubline.orchestration.domain.quotas import Holdings, TenantLimits
from dubline.orchestration.domain.uploads import UploadKind

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store


def test_holdings_equal_the_rows_after_every_kind_of_change(store: Store, factory: JobFactory) -> None:
    def check(jobs: int, stored_bytes: int) -> None:
        held = store.tenants.holdings("acme")
        assert (
            held
            == counted_holdings(store, "acme")
            == Holdings(jobs=jobs, speech_s=3.0 * jobs, stored_bytes=stored_bytes)
        )

    check(0, 20)
    first = factory.job()
    rejected = factory.rejected(UploadKind.SPEECH, "not_audio", "No.")
    batch, _ = store.batches.insert("acme", [factory.new(), factory.new(speech=rejected.id)], None, "0" * 64)
    check(2, 30)
    lease = store.leases.claim("worker", 60)
    assert lease is not None
    store.leases.finish(lease, 500, 3.0)
    check(1, 530)
    store.batches.cancel("acme", batch.id)
    check(0, 530)
    store.deletions.job("acme", first.id, OPERATOR_ACTOR)
    store.deletions.upload("acme", rejected.id, OPERATOR_ACTOR)
    check(0, 20)
    assert store.tenants.holdings("globex") == Holdings(jobs=0, speech_s=0, stored_bytes=0)


def test_many_changes_are_replaced_by_their_sum(store: Store, factory: JobFactory) -> None:
    limits = TenantLimits(queued_jobs=10_000)
    for _ in range(SUM_FROM + 2):
        store.jobs.insert_once("acme", factory.new(), None, limits)
    with transaction(store._engine) as session:
        assert (session.scalar(text("SELECT count(*) FROM holdings")) or 0) < SUM_FROM
    assert store.tenants.holdings("acme") == counted_holdings(store, "acme")


def test_concurrent_requests_do_not_exceed_a_quota_together(store: Store, factory: JobFactory) -> None:
    def submit(_: int) -> int:
        try:
            store.batches.insert("acme", [factory.new()] * 3, None, "0" * 64, limits=TenantLimits(queued_jobs=10))
        except QuotaExceededError:
            return 0
        return 3

    with ThreadPoolExecutor(6) as pool:
        accepted = sum(pool.map(submit, range(12)))
    assert accepted == 9 == store.tenants.holdings("acme").jobs


def test_concurrent_uploads_do_not_exceed_a_quota_together(store: Store, factory: JobFactory) -> None:
    def declare(_: int) -> int:
        try:
            limits = TenantLimits(stored_bytes=100)
            store.uploads.insert_once(factory.tenant, UploadKind.SPEECH, "audio/wav", 30, None, limits)
        except QuotaExceededError:
            return 0
        return 1

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(declare, range(12))) == 2
    assert store.tenants.holdings("acme").stored_bytes == 80


def test_a_tenant_does_not_wait_for_the_quota_of_another(store: Store) -> None:
    store.keys.create("acme")
    other = JobFactory(store, "globex")
    limits = TenantLimits(queued_jobs=10, stored_bytes=1000)
    with transaction(store._engine) as session:
        session.execute(text("SELECT FROM tenants WHERE name = 'acme' FOR NO KEY UPDATE"))
        store.jobs.insert_once("globex", other.new(), None, limits)
        store.uploads.insert_once("globex", UploadKind.SPEECH, "audio/wav", 10, None, limits)


def test_jobs_that_fail_at_once_do_not_count(store: Store, factory: JobFactory) -> None:
    limits = TenantLimits(queued_jobs=1, queued_s=3)
    rejected = factory.rejected(UploadKind.SPEECH, "not_audio", "No.")
    rows = [factory.new(), *[factory.new(speech=rejected.id)] * 5]
    store.batches.insert("acme", rows, None, "0" * 64, limits=limits)
    with pytest.raises(QuotaExceededError):
        store.jobs.insert_once("acme", factory.new(), None, limits)


def test_a_repeated_request_is_not_counted_twice(store: Store, factory: JobFactory) -> None:
    limits = TenantLimits(queued_jobs=1)
    first, _ = store.batches.insert("acme", [factory.new()], "key", "0" * 64, limits=limits)
    again, replayed = store.batches.insert("acme", [factory.new()], "key", "0" * 64, limits=limits)
    assert (again.id, replayed) == (first.id, True)


def test_limits_are_set_one_by_one_and_recorded(store: Store, factory: JobFactory) -> None:
    store.tenants.set_limits(factory.tenant, {"queued_jobs": 5, "requests_per_s": 0.5})
    store.tenants.set_limits("acme", {"queued_jobs": None, "stored_bytes": 2**40})
    assert store.tenants.limits("acme") == TenantLimits(requests_per_s=0.5, stored_bytes=2**40)
    caller = store.keys.authenticate(store.keys.create("acme"))
    assert caller is not None
    assert caller.limits == store.tenants.limits("acme")
    with pytest.raises(NotFoundError):
        store.tenants.set_limits("nobody", {"queued_jobs": 5})
    with transaction(store._engine) as session:
        details = session.scalars(text("SELECT detail FROM audit WHERE action = 'set_limits' ORDER BY at"))
        assert list(details) == [
            {"queued_jobs": 5, "requests_per_s": 0.5},
            {"queued_jobs": None, "stored_bytes": 2**40},
        ]
