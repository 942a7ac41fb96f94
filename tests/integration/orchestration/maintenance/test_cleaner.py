from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.batches import Retention
from dubline.orchestration.domain.errors import NotFoundError, StorageUnavailableError
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.maintenance import cleaner
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.settings import BucketSettings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


@pytest.fixture
def away(bucket: BucketSettings) -> Objects:
    return Objects(bucket.model_copy(update={"endpoint_url": "http://127.0.0.1:1"}))


def rendered(store: Store, factory: JobFactory, objects: Objects, file: Path) -> tuple[UUID, str]:
    """A job that succeeded, and where its video lies."""
    job = factory.job()
    lease = store.leases.claim("worker", 10)
    assert lease is not None
    objects.put(file, lease.result_key, "video/mp4")
    store.leases.finish(lease, lease.result_key, 10, 1.0)
    return job.id, lease.result_key


def age(store: Store, table: str, column: str) -> None:
    with transaction(store._engine) as session:
        session.execute(text(f"UPDATE {table} SET {column} = {column} - interval '2 minutes'"))  # noqa: S608


def test_a_deleted_job_takes_its_video_along_and_the_audit_is_completed(
    store: Store, factory: JobFactory, objects: Objects, file: Path
) -> None:
    job_id, key = rendered(store, factory, objects, file)
    store.deletions.job("acme", job_id, "key:0123")
    (entry,) = store.deletions.audit("acme", job_id)
    assert (entry.objects, entry.completed_at) == (1, None)
    assert objects.size_bytes(key) == 10
    assert cleaner.clear(store, objects) == 1
    assert objects.size_bytes(key) is None
    (entry,) = store.deletions.audit("acme", job_id)
    assert entry.completed_at is not None
    assert cleaner.clear(store, objects) == 0


def test_a_bucket_that_is_away_forgets_nothing(
    store: Store, factory: JobFactory, objects: Objects, away: Objects, file: Path
) -> None:
    job_id, key = rendered(store, factory, objects, file)
    store.deletions.job("acme", job_id, "key:0123")
    with pytest.raises(StorageUnavailableError):
        cleaner.clear(store, away)
    assert store.deletions.doomed(10) == (key,)
    assert cleaner.clear(store, objects) == 1
    assert objects.size_bytes(key) is None


def test_an_object_that_the_storage_refuses_to_remove_waits(
    store: Store, factory: JobFactory, objects: Objects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = set()
    for _ in range(2):
        job_id, key = rendered(store, factory, objects, file)
        store.deletions.job("acme", job_id, "key:0123")
        keys.add(key)
    refused = max(keys)
    remove = objects.delete_many
    monkeypatch.setattr(objects, "delete_many", lambda wanted: remove(set(wanted) - {refused}))
    assert cleaner.clear(store, objects) == 1
    assert store.deletions.doomed(10) == (refused,)


def test_an_object_that_is_refused_holds_up_no_other(
    store: Store, factory: JobFactory, objects: Objects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        job_id, _key = rendered(store, factory, objects, file)
        store.deletions.job("acme", job_id, "key:0123")
    (refused, _) = store.deletions.doomed(2)
    remove = objects.delete_many
    monkeypatch.setattr(cleaner, "LIMIT", 1)
    monkeypatch.setattr(objects, "delete_many", lambda wanted: remove(set(wanted) - {refused}))
    assert [cleaner.clear(store, objects) for _ in range(2)] == [0, 1]
    assert store.deletions.doomed(2) == (refused,)


def test_more_than_one_request_takes_is_removed_in_one_turn(
    store: Store, factory: JobFactory, objects: Objects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "LIMIT", 2)
    for _ in range(5):
        store.deletions.job("acme", rendered(store, factory, objects, file)[0], "key:0123")
    assert cleaner.clear(store, objects) == 5


def test_retention_removes_what_is_due_and_writes_it_down(
    store: Store, factory: JobFactory, objects: Objects, file: Path
) -> None:
    for upload in (factory.portrait, factory.speech):
        objects.put(file, upload.object_key, "image/png")
    job_id, key = rendered(store, factory, objects, file)
    store.tenants.set_retention("acme", Retention(inputs_s=60, results_s=60))
    assert cleaner.expire(store) == 0
    young = factory.ready(UploadKind.PORTRAIT)
    age(store, "jobs", "results_expire_at")
    with transaction(store._engine) as session:
        aged = "UPDATE uploads SET expire_at = expire_at - interval '2 minutes' WHERE id <> :young"
        session.execute(text(aged), {"young": young.id})
    assert cleaner.expire(store) == 3
    assert cleaner.expire(store) == 0
    assert cleaner.clear(store, objects) == 3
    assert not [one for one in (key, factory.portrait.object_key) if objects.size_bytes(one) is not None]
    job = store.jobs.get("acme", job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.result_deleted_at is not None
    with pytest.raises(NotFoundError):
        store.uploads.get("acme", factory.speech.id)
    assert store.uploads.get("acme", young.id)
    for subject in (job_id, factory.portrait.id, factory.speech.id):
        (entry,) = store.deletions.audit("acme", subject)
        assert (entry.actor, entry.objects) == ("retention", 1)
        assert entry.completed_at is not None
    assert not store.deletions.audit("acme", young.id)


def test_where_nothing_was_said_everything_is_kept(
    store: Store, factory: JobFactory, objects: Objects, file: Path
) -> None:
    _, key = rendered(store, factory, objects, file)
    assert cleaner.expire(store) == 0
    assert cleaner.clear(store, objects) == 0
    assert objects.size_bytes(key) == 10
