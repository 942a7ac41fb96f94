from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dubline.orchestration.domain.errors import StorageUnavailableError
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.maintenance import cleaner
from dubline.orchestration.maintenance.periodic_tasks import periodic_tasks
from dubline.orchestration.settings import MaintenanceSettings
from dubline.orchestration.storage.objects import Objects
from dubline.orchestration.storage.s3 import CONNECT_TIMEOUT_S, READ_TIMEOUT_S

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.queue import Notifier
    from dubline.orchestration.settings import BucketSettings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


@pytest.fixture
def unavailable(bucket: BucketSettings) -> Objects:
    return Objects(bucket.model_copy(update={"endpoint_url": "http://127.0.0.1:1"}))


def finished(store: Store, factory: JobFactory, objects: Objects, file: Path) -> tuple[UUID, str]:
    """Finish a job; return its id and the key of its video."""
    job = factory.job()
    lease = store.leases.claim("worker", 10)
    assert lease is not None
    objects.put(file, lease.result_key, "video/mp4")
    store.leases.finish(lease, 10, 1.0)
    return job.id, lease.result_key


def test_the_video_of_a_deleted_job_is_removed_and_the_audit_completed(
    store: Store, factory: JobFactory, objects: Objects, file: Path
) -> None:
    job_id, key = finished(store, factory, objects, file)
    store.deletions.job("acme", job_id, "key:0123")
    (entry,) = store.deletions.audit("acme", job_id)
    assert (entry.objects, entry.completed_at) == (1, None)
    assert objects.size_bytes(key) == 10
    assert cleaner.clean(store, objects) == 1
    assert objects.size_bytes(key) is None
    (entry,) = store.deletions.audit("acme", job_id)
    assert entry.completed_at is not None
    assert cleaner.clean(store, objects) == 0


def test_marks_are_kept_while_the_bucket_is_unavailable(
    store: Store, factory: JobFactory, objects: Objects, unavailable: Objects, file: Path
) -> None:
    job_id, key = finished(store, factory, objects, file)
    store.deletions.job("acme", job_id, "key:0123")
    with pytest.raises(StorageUnavailableError):
        cleaner.clean(store, unavailable)
    assert store.deletions.pending(10) == (key,)
    assert cleaner.clean(store, objects) == 1
    assert objects.size_bytes(key) is None


def test_an_object_that_the_storage_does_not_remove_stays_marked(
    store: Store, factory: JobFactory, objects: Objects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = set()
    for _ in range(2):
        job_id, key = finished(store, factory, objects, file)
        store.deletions.job("acme", job_id, "key:0123")
        keys.add(key)
    refused = max(keys)
    remove = objects.delete_many
    monkeypatch.setattr(objects, "delete_many", lambda wanted: remove(set(wanted) - {refused}))
    assert cleaner.clean(store, objects) == 1
    assert store.deletions.pending(10) == (refused,)


def test_an_object_that_is_not_removed_does_not_block_others(
    store: Store, factory: JobFactory, objects: Objects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        job_id, _key = finished(store, factory, objects, file)
        store.deletions.job("acme", job_id, "key:0123")
    (refused, _) = store.deletions.pending(2)
    remove = objects.delete_many
    monkeypatch.setattr(cleaner, "LIMIT", 1)
    monkeypatch.setattr(objects, "delete_many", lambda wanted: remove(set(wanted) - {refused}))
    assert [cleaner.clean(store, objects) for _ in range(2)] == [0, 1]
    assert store.deletions.pending(2) == (refused,)


def test_one_run_sends_as_many_delete_requests_as_it_needs(
    store: Store, factory: JobFactory, objects: Objects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "LIMIT", 2)
    for _ in range(5):
        store.deletions.job("acme", finished(store, factory, objects, file)[0], "key:0123")
    assert cleaner.clean(store, objects) == 5


def test_a_periodic_run_ends_although_objects_are_left(
    store: Store, factory: JobFactory, objects: Objects, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "LIMIT", 1)
    monkeypatch.setattr(cleaner, "RUN_S", 0.0)
    for _ in range(3):
        store.deletions.upload("acme", factory.ready(UploadKind.SPEECH).id, "key:0123")
    listed = periodic_tasks(store, notifier, objects, MaintenanceSettings())
    (task,) = (one for one in listed if one.name == "clean")
    for left in (2, 1, 0):
        task.run()
        assert len(store.deletions.pending(10)) == left
    assert task.limit_s > cleaner.RUN_S + 2 * (CONNECT_TIMEOUT_S + READ_TIMEOUT_S)
