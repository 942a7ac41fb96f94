"""No method of the store reads or changes rows of another tenant, whatever ids it is given."""

from __future__ import annotations

import inspect
from datetime import date
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
from psycopg import IntegrityError
from sqlalchemy import text
from tests.integration.conftest import empty
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import change, column, pending_deletion

from dubline.orchestration.database.store.accounts.keys import Keys
from dubline.orchestration.database.store.accounts.tenants import Tenants
from dubline.orchestration.database.store.accounts.usage import UsageTotals
from dubline.orchestration.database.store.attempts.leases import Leases
from dubline.orchestration.database.store.attempts.workers import Workers
from dubline.orchestration.database.store.backlogs import Backlogs
from dubline.orchestration.database.store.batches import Batches
from dubline.orchestration.database.store.deletion.deletions import Deletions
from dubline.orchestration.database.store.events import Events
from dubline.orchestration.database.store.jobs import Jobs
from dubline.orchestration.database.store.outbox import Outbox
from dubline.orchestration.database.store.predictions import Predictions
from dubline.orchestration.database.store.restored import Restored
from dubline.orchestration.database.store.sharing.shares import Shares
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.database.store.uploads import Uploads
from dubline.orchestration.database.store.weights import Weights
from dubline.orchestration.domain.batches import Batch, Retention
from dubline.orchestration.domain.errors import DublineError
from dubline.orchestration.domain.idempotency import Request
from dubline.orchestration.domain.jobs import Job, NewJob
from dubline.orchestration.domain.listing import BatchFilter, JobFilter, UploadFilter, Window
from dubline.orchestration.domain.quotas import TenantLimits
from dubline.orchestration.domain.uploads import UploadKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.database.store import Store

CLASSES: Final = (
    Backlogs,
    Batches,
    Deletions,
    Events,
    Jobs,
    Keys,
    Leases,
    Outbox,
    Predictions,
    Restored,
    Shares,
    Tenants,
    Uploads,
    UsageTotals,
    Weights,
    Workers,
)
#: Methods without a tenant: of operators and processes. Those of leases accept a secret token.
INTERNAL: Final = frozenset(
    {
        "Backlogs.read",
        "Deletions.expire",
        "Deletions.orphaned",
        "Deletions.pending",
        "Deletions.pending_among",
        "Deletions.postpone",
        "Deletions.referenced",
        "Deletions.removed",
        "Deletions.without_job",
        "Events.after",
        "Events.append",
        "Events.prune",
        "Jobs.queued_counts",
        "Jobs.refund",
        "Keys.authenticate",
        "Leases.claim",
        "Leases.expire_deadlines",
        "Leases.fail",
        "Leases.finish",
        "Leases.load_checkpoints",
        "Leases.progress",
        "Leases.release",
        "Leases.renew",
        "Leases.rescue_expired",
        "Leases.retry",
        "Leases.save_checkpoint",
        "Outbox.has_any",
        "Outbox.publish",
        "Predictions.queue",
        "Predictions.sum_up",
        "Predictions.workload",
        "Restored.repair_events",
        "Restored.results",
        "Restored.tenants",
        "Shares.claim",
        "Shares.end",
        "Shares.end_expired",
        "Shares.load_motion",
        "Shares.offer",
        "Shares.progress",
        "Shares.renew",
        "Shares.reserve",
        "Shares.save_checkpoint",
        "Uploads.accept",
        "Uploads.claim",
        "Uploads.reject",
        "Uploads.release",
        "Uploads.renew",
        "Uploads.rescue_expired",
        "Uploads.retry",
        "Uploads.waiting_count",
        "UsageTotals.of_all",
        "UsageTotals.trace",
        "Weights.add",
        "Weights.list",
        "Weights.pin",
        "Workers.begin_test",
        "Workers.failed",
        "Workers.forget",
        "Workers.leave",
        "Workers.quarantine",
        "Workers.read",
        "Workers.running",
        "Workers.stay",
        "Workers.succeeded",
    }
)
#: Arguments of methods with a tenant, apart from ids.
ARGUMENTS: Final[dict[str, Any]] = {
    "actor": "key:1",
    "after": None,
    "code": "image_too_small",
    "content_type": "image/png",
    "detail": "Too small.",
    "first": date(2000, 1, 1),
    "idempotency_key": None,
    "inputs": True,
    "kind": UploadKind.PORTRAIT,
    "last": date(2100, 1, 1),
    "limit": 10,
    "limits": TenantLimits(queued_jobs=10_000, stored_bytes=10_000),
    "request": Request(key="1", sha256="0" * 64),
    "request_sha256": "0" * 64,
    "retention": Retention(inputs_s=1, results_s=1),
    "sha256": "0" * 64,
    "size_bytes": 10,
    "values": {"queued_jobs": 1},
    "window": Window(limit=10),
}
#: Method -> the filter of its list.
FILTERS: Final = {Batches.page: BatchFilter(), Jobs.page: JobFilter(), Uploads.page: UploadFilter()}
ROWS: Final = text("""
SELECT 'upload', id, to_jsonb(uploads) FROM uploads WHERE tenant = :tenant
UNION ALL SELECT 'batch', id, to_jsonb(batches) FROM batches WHERE tenant = :tenant
UNION ALL SELECT 'job', id, to_jsonb(jobs) - 'order_key' FROM jobs WHERE tenant = :tenant
UNION ALL SELECT 'key', NULL, to_jsonb(api_keys) FROM api_keys WHERE tenant = :tenant
UNION ALL SELECT 'tenant', NULL, to_jsonb(tenants) - 'virtual_time_s' FROM tenants WHERE name = :tenant
UNION ALL SELECT 'holdings', NULL, jsonb_build_array(sum(jobs), sum(speech_ms), sum(stored_bytes))
    FROM holdings WHERE tenant = :tenant
UNION ALL SELECT 'audit', id, to_jsonb(audit) FROM audit WHERE tenant = :tenant
ORDER BY 1, 2
""")


class Tenant:
    """One tenant with an upload that waits, a job that waits, and a batch whose jobs are final."""

    def __init__(self, store: Store, name: str) -> None:
        self.name = name
        self.factory = JobFactory(store, name)
        self.key_id = store.keys.issue(name).key.id
        self.waiting = self.factory.pending(UploadKind.PORTRAIT)
        self.job: Job = store.jobs.insert(name, self.factory.new())
        self.batch: Batch = store.batches.insert(name, [self.factory.new()], None, "0" * 64)[0]
        store.batches.cancel(name, self.batch.id)

    def ids(self, parameter: str) -> list[Any]:
        if parameter == "upload_id":
            return [self.waiting.id, self.factory.portrait.id]
        ids: dict[str, list[Any]] = {"job_id": [self.job.id], "batch_id": [self.batch.id], "key_id": [self.key_id]}
        ids["subject_id"] = [self.job.id, self.batch.id, self.waiting.id]
        return ids[parameter]


@pytest.fixture
def victim(store: Store) -> Tenant:
    return Tenant(store, "victim")


@pytest.fixture(scope="module")
def unchanged(opened: Store) -> Tenant:
    """A victim for all tests that follow each other without empty tables between them."""
    empty(opened)
    return Tenant(opened, "victim")


def methods() -> dict[str, Callable[..., Any]]:
    return {
        f"{kind.__name__}.{name}": method
        for kind in CLASSES
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def has_tenant(method: Callable[..., Any]) -> bool:
    return "tenant" in inspect.signature(method).parameters


def rows_of(store: Store, tenant: str) -> list[Any]:
    with transaction(store._engine) as session:
        return [tuple(row) for row in session.execute(ROWS, {"tenant": tenant})]


def calls(method: Callable[..., Any], tenant: str, victim: Tenant) -> list[dict[str, Any]]:
    """Arguments of one tenant with ids of the other one; a parameter without a value here is an error."""
    fixed: dict[str, Any] = {"tenant": tenant}
    ids: dict[str, list[Any]] = {}
    new = NewJob(portrait_upload_id=victim.factory.portrait.id, speech_upload_id=victim.factory.speech.id)
    for name, parameter in list(inspect.signature(method).parameters.items())[1:]:
        if name in {"new", "rows"}:
            fixed[name] = new if name == "new" else [new]
        elif name.endswith("_id"):
            ids[name] = victim.ids(name)
        elif name == "which":
            fixed[name] = FILTERS[method]
        elif name in ARGUMENTS:
            fixed[name] = ARGUMENTS[name]
        elif name != "tenant":
            assert parameter.default is not parameter.empty, f"ARGUMENTS has no value for {name}"
    calls = [fixed]
    for name, values in ids.items():
        calls = [call | {name: value} for call in calls for value in values]
    return calls


def test_every_class_of_the_store_is_listed(store: Store) -> None:
    assert {type(one) for name, one in vars(store).items() if not name.startswith("_")} == set(CLASSES)


def test_every_method_has_a_tenant_or_is_internal() -> None:
    assert {name for name, method in methods().items() if not has_tenant(method)} == INTERNAL


@pytest.mark.parametrize("name", sorted(name for name, method in methods().items() if has_tenant(method)))
def test_ids_of_another_tenant_read_and_change_nothing(opened: Store, unchanged: Tenant, name: str) -> None:
    store, victim, attacker = opened, unchanged, Tenant(opened, f"attacker-{uuid4().hex}")
    before = rows_of(store, victim.name)
    group, method = name.split(".")
    (group,) = (key for key, one in vars(store).items() if type(one).__name__ == group)
    own = {str(row[1]) for row in before}
    for call in calls(methods()[name], attacker.name, victim):
        try:
            answer = getattr(getattr(store, group), method)(**call)
        except DublineError:
            answer = None
        assert not any(f"id=UUID('{one}'), tenant" in repr(answer) for one in own)
        if "rows" not in call and any(key.endswith("_id") for key in call):
            assert not answer
    expire_promised(store)
    assert rows_of(store, victim.name) == before
    assert not any(f"/{victim.name}/" in key for key in pending_deletion(store))


def expire_promised(store: Store) -> None:
    """Expire with every date of an upload in the past."""
    change(store, "UPDATE uploads SET review_at = now() - interval '1 s' WHERE review_at < now() + interval '1 hour'")
    change(store, "UPDATE uploads SET delete_by = delete_by - interval '1 hour' WHERE delete_by IS NOT NULL")
    store.deletions.expire()


@pytest.mark.parametrize("kind", ["job", "batch"])
def test_a_failed_row_does_not_delete_the_upload_that_it_names(store: Store, victim: Tenant, kind: str) -> None:
    attacker = Tenant(store, "attacker")
    before = rows_of(store, victim.name)
    row = attacker.factory.new(victim.factory.portrait.id, victim.factory.speech.id)
    batch, _ = store.batches.insert(attacker.name, [row], None, "0" * 64, Retention(inputs_s=1))
    (job,) = store.batches.jobs(attacker.name, batch.id, None, 10).jobs
    if kind == "job":
        store.deletions.job(attacker.name, job.id, "key:1")
    else:
        store.deletions.batch(attacker.name, batch.id, "key:1", inputs=True)
    expire_promised(store)
    assert rows_of(store, victim.name) == before


def test_a_failed_row_does_not_have_the_id_of_a_foreign_upload(store: Store, victim: Tenant) -> None:
    attacker = Tenant(store, "attacker")
    rows = [attacker.factory.new(portrait=victim.factory.portrait.id), attacker.factory.new(speech=uuid4())]
    batch, _ = store.batches.insert(attacker.name, rows, None, "0" * 64)
    listed = store.batches.jobs(attacker.name, batch.id, None, 10).jobs
    first, second = (store.jobs.get(attacker.name, job.id) for job in listed)
    assert (first.portrait_upload_id, first.speech_upload_id) == (None, attacker.factory.speech.id)
    assert (second.portrait_upload_id, second.speech_upload_id) == (attacker.factory.portrait.id, None)
    assert (first.error_code, second.error_code) == ("upload_missing", "upload_missing")


def test_the_database_removes_the_ids_of_foreign_uploads(store: Store, victim: Tenant) -> None:
    attacker = Tenant(store, "attacker")
    copied = (
        "INSERT INTO jobs (id, tenant, portrait_upload_id, speech_upload_id, speech_s, preset, seed, state, order_key,"
        " finalized_at, error_code, error_detail) SELECT gen_random_uuid(), :tenant, portrait_upload_id,"
        " speech_upload_id, 0, preset, seed, :state, 0, CASE :state WHEN 'failed' THEN now() END,"
        " CASE :state WHEN 'failed' THEN 'x' END, CASE :state WHEN 'failed' THEN 'y' END FROM jobs WHERE id = :id"
    )
    change(store, copied, tenant=attacker.name, state="failed", id=victim.job.id)
    named = (
        "SELECT count(*) FROM jobs WHERE tenant = 'attacker' AND num_nulls(portrait_upload_id, speech_upload_id) = 2"
    )
    assert column(store, named) == [1]
    with pytest.raises(IntegrityError, match="jobs_named_check"):
        change(store, copied, tenant=attacker.name, state="queued", id=victim.job.id)
    moved = "UPDATE jobs SET portrait_upload_id = :upload WHERE tenant = 'attacker'"
    with pytest.raises(IntegrityError, match="upload of another tenant"):
        change(store, moved, upload=victim.factory.portrait.id)


def test_a_failed_row_does_not_keep_the_upload_that_it_names(store: Store, victim: Tenant) -> None:
    attacker = Tenant(store, "attacker")
    row = attacker.factory.new(victim.factory.portrait.id, victim.factory.speech.id)
    store.batches.insert(attacker.name, [row], None, "0" * 64)
    store.deletions.job(victim.name, victim.job.id, "key:1")
    store.deletions.batch(victim.name, victim.batch.id, "key:1", inputs=True)
    assert not {victim.factory.portrait.id, victim.factory.speech.id} & {one[1] for one in rows_of(store, victim.name)}
