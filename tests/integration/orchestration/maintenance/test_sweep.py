from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import structlog

from dubline.orchestration.domain.errors import StorageUnavailableError
from dubline.orchestration.maintenance import cleaner, sweep
from dubline.orchestration.maintenance.sweep import Findings, sweep_bucket
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.settings import BucketSettings

OLD, YOUNG = -1.0, 3600.0
"""Least age of an orphan by which an object just made is old, or young."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


@pytest.fixture
def objects(bucket: BucketSettings) -> Objects:
    """An empty bucket of its own."""
    objects = Objects(bucket.model_copy(update={"name": f"swept-{uuid4()}"}))
    objects.create_bucket()
    return objects


@pytest.fixture
def planted(store: Store, factory: JobFactory, objects: Objects, file: Path) -> dict[str, str]:
    """One object of each kind."""
    done, deleted, at_work = (factory.job() for _ in range(3))
    keys = {"upload": factory.portrait.object_key}
    for name in ("result", "doomed"):
        lease = store.leases.claim("worker", 60)
        assert lease is not None
        keys[name] = lease.result_key
        store.leases.finish(lease, lease.result_key, 10, 1.0)
        assert lease.job_id == (done if name == "result" else deleted).id
    store.deletions.job("acme", deleted.id, "key:0123")
    lease = store.leases.claim("worker", 60)
    assert lease is not None
    assert lease.job_id == at_work.id
    keys["not yet published"] = lease.result_key
    keys["not yet kept"] = f"{lease.attempt_prefix}motion.npy"
    keys["orphan"] = f"results/{uuid4()}/1-{uuid4()}.mp4"
    keys["lost checkpoint"] = f"checkpoints/{uuid4()}/1-{uuid4()}/motion.npy"
    keys["not ours"] = "backups/database.sql"
    for key in keys.values():
        objects.put(file, key, "video/mp4")
    return keys


def left(objects: Objects, planted: dict[str, str]) -> set[str]:
    found = {one.key for one in objects.list()}
    return {name for name, key in planted.items() if key in found}


@pytest.mark.parametrize("page", [1, 3, 1000])
def test_a_sweep_removes_orphans_and_nothing_else(
    store: Store, objects: Objects, planted: dict[str, str], page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "PAGE", page)
    with structlog.testing.capture_logs() as events:
        found = sweep_bucket(store, objects, OLD)
    assert found == Findings(objects=7, referenced=4, doomed=1, orphans=2)
    assert [event["event"] for event in events] == ["orphans_found"]
    assert left(objects, planted) == set(planted)
    assert cleaner.clear(store, objects) == 3
    assert left(objects, planted) == set(planted) - {"orphan", "lost checkpoint", "doomed"}
    assert sweep_bucket(store, objects, OLD) == Findings(objects=4, referenced=4)


def test_what_is_young_may_still_get_its_row(store: Store, objects: Objects, planted: dict[str, str]) -> None:
    found = sweep_bucket(store, objects, YOUNG)
    assert found == Findings(objects=7, referenced=4, doomed=1, orphans=0)
    assert cleaner.clear(store, objects) == 1
    assert left(objects, planted) == set(planted) - {"doomed"}


def test_a_dry_run_dooms_nothing(store: Store, objects: Objects, planted: dict[str, str]) -> None:
    assert sweep_bucket(store, objects, OLD, dry_run=True).orphans == 2
    assert store.deletions.doomed(10) == (planted["doomed"],)


def test_a_bucket_of_other_rows_is_left_alone_unless_asked(
    store: Store, objects: Objects, planted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MOST_MIN", 1)
    monkeypatch.setattr(sweep, "MOST_SHARE", 0.2)
    assert sweep_bucket(store, objects, OLD).refused
    assert store.deletions.doomed(10) == (planted["doomed"],)
    assert sweep_bucket(store, objects, OLD, even_most=True).orphans == 2
    assert len(store.deletions.doomed(10)) == 3


def test_a_bucket_that_is_away_dooms_nothing(store: Store, bucket: BucketSettings) -> None:
    away = Objects(bucket.model_copy(update={"endpoint_url": "http://127.0.0.1:1"}))
    with pytest.raises(StorageUnavailableError):
        sweep_bucket(store, away, OLD)
    assert store.deletions.doomed(10) == ()
