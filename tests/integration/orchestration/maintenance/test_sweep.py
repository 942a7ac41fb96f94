from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import structlog

from dubline.orchestration.domain.errors import StorageUnavailableError
from dubline.orchestration.maintenance import cleaner, sweep
from dubline.orchestration.maintenance.sweep import SweepResult, sweep_bucket
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.settings import BucketSettings

OLD, YOUNG = -1.0, 3600.0
"""Orphan ages by which a new object is an orphan, or too young."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


@pytest.fixture
def objects(bucket: BucketSettings) -> Objects:
    """A new, empty bucket."""
    objects = Objects(bucket.model_copy(update={"name": f"swept-{uuid4()}"}))
    objects.create_bucket()
    return objects


@pytest.fixture
def keys(store: Store, factory: JobFactory, objects: Objects, file: Path) -> dict[str, str]:
    """One object of each kind."""
    done, deleted, running = (factory.job() for _ in range(3))
    keys = {"upload": factory.portrait.object_key}
    for name in ("result", "pending deletion"):
        lease = store.leases.claim("worker", 60)
        assert lease is not None
        keys[name] = lease.result_key
        store.leases.finish(lease, 10, 1.0)
        assert lease.job_id == (done if name == "result" else deleted).id
    store.deletions.job("acme", deleted.id, "key:0123")
    lease = store.leases.claim("worker", 60)
    assert lease is not None
    assert lease.job_id == running.id
    keys["result of a running job"] = lease.result_key
    keys["checkpoint of a running job"] = f"{lease.attempt_prefix}motion.npy"
    keys["orphan"] = f"results/{uuid4()}/1-{uuid4()}.mp4"
    keys["lost checkpoint"] = f"checkpoints/{uuid4()}/1-{uuid4()}/motion.npy"
    keys["foreign object"] = "backups/database.sql"
    for key in keys.values():
        objects.put(file, key, "video/mp4")
    return keys


def remaining(objects: Objects, keys: dict[str, str]) -> set[str]:
    found = {one.key for one in objects.list()}
    return {name for name, key in keys.items() if key in found}


@pytest.mark.parametrize("page", [1, 3, 1000])
def test_a_sweep_removes_orphans_and_nothing_else(
    store: Store, objects: Objects, keys: dict[str, str], page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "PAGE", page)
    with structlog.testing.capture_logs() as events:
        found = sweep_bucket(store, objects, OLD)
    assert found == SweepResult(objects=7, referenced=4, pending_deletion=1, orphans=2)
    assert [event["event"] for event in events] == ["orphans_found"]
    assert remaining(objects, keys) == set(keys)
    assert cleaner.clean(store, objects) == 3
    assert remaining(objects, keys) == set(keys) - {"orphan", "lost checkpoint", "pending deletion"}
    assert sweep_bucket(store, objects, OLD) == SweepResult(objects=4, referenced=4)


def test_a_sweep_reads_no_more_rows_than_a_page_has_objects(
    store: Store, objects: Objects, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A million keys that are pending deletion take 286 MB, more than the pod has left.
    assert keys
    monkeypatch.setattr(store.deletions, "pending", pytest.fail)
    assert sweep_bucket(store, objects, OLD, dry_run=True).pending_deletion == 1


def test_young_objects_without_a_row_are_kept(store: Store, objects: Objects, keys: dict[str, str]) -> None:
    found = sweep_bucket(store, objects, YOUNG)
    assert found == SweepResult(objects=7, referenced=4, pending_deletion=1, orphans=0)
    assert cleaner.clean(store, objects) == 1
    assert remaining(objects, keys) == set(keys) - {"pending deletion"}


def test_a_dry_run_marks_nothing(store: Store, objects: Objects, keys: dict[str, str]) -> None:
    assert sweep_bucket(store, objects, OLD, dry_run=True).orphans == 2
    assert store.deletions.pending(10) == (keys["pending deletion"],)


def test_a_bucket_with_mostly_orphans_is_swept_only_if_forced(
    store: Store, objects: Objects, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MOST_MIN", 1)
    monkeypatch.setattr(sweep, "MOST_SHARE", 0.2)
    assert sweep_bucket(store, objects, OLD).refused
    assert store.deletions.pending(10) == (keys["pending deletion"],)
    assert sweep_bucket(store, objects, OLD, even_most=True).orphans == 2
    assert len(store.deletions.pending(10)) == 3


def test_objects_of_many_jobs_without_a_row_are_swept_only_if_forced(
    store: Store, objects: Objects, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after the restore of an old copy: the database has no row of the jobs that came later.
    monkeypatch.setattr(sweep, "JOBLESS_MAX", 1)
    found = sweep_bucket(store, objects, OLD)
    assert (found.orphans, found.jobless, found.refused) == (2, 2, True)
    assert store.deletions.pending(10) == (keys["pending deletion"],)
    assert sweep_bucket(store, objects, OLD, even_most=True).orphans == 2


def test_orphans_of_jobs_that_have_a_row_do_not_stop_a_sweep(
    store: Store, factory: JobFactory, objects: Objects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "JOBLESS_MAX", 0)
    key = f"results/{factory.job().id}/1-{uuid4()}.mp4"
    objects.put(file, key, "video/mp4")
    assert not sweep_bucket(store, objects, OLD).refused
    assert store.deletions.pending(10) == (key,)


def test_an_unavailable_bucket_marks_nothing(store: Store, bucket: BucketSettings) -> None:
    unavailable = Objects(bucket.model_copy(update={"endpoint_url": "http://127.0.0.1:1"}))
    with pytest.raises(StorageUnavailableError):
        sweep_bucket(store, unavailable, OLD)
    assert store.deletions.pending(10) == ()
