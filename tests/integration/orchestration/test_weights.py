"""Weights: push, list and pin, and the version with which a job is rendered."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import IntegrityError
from tests.integration.orchestration.rows import change, column

from dubline.models.weights import RELEASED, released_sha256
from dubline.orchestration.__main__ import _execute, _parser
from dubline.orchestration.domain.errors import NotFoundError, WeightsUnusableError
from dubline.orchestration.domain.jobs import Cause
from dubline.orchestration.domain.weights import MANIFEST, Pin, read_manifest
from dubline.orchestration.storage.objects import Objects
from dubline.worker.rendering.weights_cache import WeightsCache

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease
    from dubline.orchestration.settings import BucketSettings

KEEP_S = 600.0


@pytest.fixture
def operate(environment: dict[str, str], bucket: BucketSettings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command of the operator in this process."""

    def run(*arguments: object) -> int:
        for name, value in (environment | {"DUBLINE_BUCKET_NAME": bucket.name}).items():
            monkeypatch.setenv(name, value)
        return _execute(_parser().parse_args(["weights", *map(str, arguments)]))

    return run


def version(folder: Path, data: bytes, preset: str = "tiny", **changed: Any) -> Path:
    """Write a version in one file, with an empty header before its data."""
    folder.mkdir()
    content = (2).to_bytes(8, "little") + b"{}" + data
    (folder / "weights.safetensors").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    file = {"name": "weights.safetensors", "sha256": sha256, "bytes": len(content)} | changed
    (folder / MANIFEST).write_text(json.dumps({"preset": preset, "sha256": sha256, "files": [file]}))
    return folder


def sha256_of(folder: Path) -> str:
    return read_manifest((folder / MANIFEST).read_bytes()).sha256


def claimed(store: Store, worker: str = "one") -> Lease:
    lease = store.leases.claim(worker, KEEP_S)
    assert lease is not None
    return lease


@pytest.mark.parametrize("preset", ["base", "tiny"])
def test_both_readers_of_manifests_name_released_weights_alike(preset: str) -> None:
    assert read_manifest((RELEASED / preset / MANIFEST).read_bytes(), preset).sha256 == released_sha256(preset)


def test_a_pushed_version_is_listed_and_found_by_workers(
    operate: Any, store: Store, bucket: BucketSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = version(tmp_path / "new", b"pushed")
    for _ in range(2):
        assert operate("push", folder) == 0
    assert capsys.readouterr().out.splitlines() == [f"tiny {sha256_of(folder)}"] * 2
    operate("pin", "tiny", sha256_of(folder))
    operate("list")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"tiny {sha256_of(folder)} bytes=16 pushed=2")
    assert "pinned=2" in line
    assert [one.preset for one in store.weights.list()] == ["tiny"]
    cache = WeightsCache(tmp_path / "cache", 10**6, Objects(bucket))
    with cache.opened("tiny", sha256_of(folder), lambda: None) as fetched:
        assert (fetched / "tiny/weights.safetensors").read_bytes().endswith(b"pushed")


@pytest.mark.parametrize(
    "changed", [{"sha256": "0" * 64}, {"bytes": 17}, {"name": "../weights.safetensors"}, {"name": "weights.pt"}]
)
def test_a_folder_that_differs_from_its_manifest_is_not_pushed(
    operate: Any, store: Store, tmp_path: Path, changed: dict[str, Any]
) -> None:
    with pytest.raises(WeightsUnusableError):
        operate("push", version(tmp_path / "new", b"wrong", **changed), "--pin")
    assert store.weights.list() == []


def test_a_file_of_another_format_is_not_pushed(operate: Any, store: Store, tmp_path: Path) -> None:
    folder = version(tmp_path / "new", b"")
    content = b"\x80\x04\x95program"
    (folder / "weights.safetensors").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    file = {"name": "weights.safetensors", "sha256": sha256, "bytes": len(content)}
    (folder / MANIFEST).write_text(json.dumps({"preset": "tiny", "sha256": sha256, "files": [file]}))
    with pytest.raises(WeightsUnusableError, match="safetensors format"):
        operate("push", folder)
    with pytest.raises(WeightsUnusableError, match="cannot be read"):
        operate("push", tmp_path / "missing")
    assert store.weights.list() == []


def test_new_jobs_are_pinned_and_accepted_ones_keep_their_version(
    operate: Any, store: Store, factory: JobFactory, tmp_path: Path
) -> None:
    first, second = (version(tmp_path / name, name.encode()) for name in ("first", "second"))
    rows = [factory.new(preset="tiny"), factory.new(preset="base")]
    factory.store.batches.insert(factory.tenant, rows, None, "hash")
    for folder in (first, second):
        operate("push", folder, "--pin")
        factory.store.batches.insert(factory.tenant, rows, None, "hash")
    operate("pin", "tiny", "package")
    factory.store.batches.insert(factory.tenant, rows, None, "hash")
    versions = column(store, "SELECT weights_sha256 FROM jobs ORDER BY order_key, position")
    assert versions[::2] == [None, sha256_of(first), sha256_of(second), None]
    assert versions[1::2] == [None] * 4


def test_a_job_is_retried_with_the_version_of_its_acceptance(
    operate: Any, store: Store, factory: JobFactory, tmp_path: Path
) -> None:
    old, new = (version(tmp_path / name, name.encode()) for name in ("old", "new"))
    operate("push", old, "--pin")
    factory.store.jobs.insert(factory.tenant, factory.new(preset="tiny"))
    first = claimed(store)
    assert first.weights == Pin(sha256_of(old), pushed=True)
    operate("push", new, "--pin")
    store.leases.retry(first, Cause.TRANSIENT, "x", "y", 0)
    assert claimed(store, "two").weights == Pin(sha256_of(old), pushed=True)


def test_a_version_of_a_package_is_kept_but_may_be_replaced(store: Store, factory: JobFactory) -> None:
    factory.job()
    first = claimed(store)
    assert first.weights is None
    change(store, "UPDATE jobs SET weights_sha256 = repeat('a', 64)")
    store.leases.retry(first, Cause.TRANSIENT, "x", "y", 0)
    assert claimed(store, "two").weights == Pin("a" * 64, pushed=False)


def test_only_pushed_versions_can_be_pinned_and_one_of_each_preset(operate: Any, store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        operate("pin", "tiny", "0" * 64)
    for name in ("first", "second"):
        operate("push", version(tmp_path / name, name.encode()), "--pin")
    with pytest.raises(NotFoundError):
        operate("pin", "base", sha256_of(tmp_path / "first"))
    assert [one.sha256 for one in store.weights.list() if one.pinned_at] == [sha256_of(tmp_path / "second")]
    with pytest.raises(IntegrityError):
        change(store, "UPDATE weights SET pinned_at = now()")
