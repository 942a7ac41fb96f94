"""Weights on the disk of one machine, fetched once for all of its workers and verified whenever they are used."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from dubline.models.weights import RELEASED, released_sha256
from dubline.orchestration.domain.errors import (
    UploadMissingError,
    UploadSizeMismatchError,
    WeightsUnusableError,
)
from dubline.orchestration.domain.object_keys import weights_key
from dubline.orchestration.domain.weights import MANIFEST, MANIFEST_BYTES, read_manifest
from dubline.worker.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dubline.orchestration.domain.weights import WeightsFile
    from dubline.orchestration.storage.objects import Objects

#: Time between two tries to get a lock that another process holds, s.
LOCK_STEP_S: Final = 0.1
LOCKS: Final = "locks"
#: Start of the name of a folder that is being filled.
UNFINISHED: Final = "unfinished-"
ADVICE: Final = "The operator pushes them again."

_log = structlog.get_logger(__name__)


class WeightsCache:
    """A folder with one folder for each version, named by its hash, and a lock file for each.

    A version comes from the package, or from the bucket. It is complete: its folder gets its name when all files are
    verified. Processes that need the same version at once wait for the first of them.

    Args:
        folder: is created.
        limit_bytes: of all versions; those used least recently are removed.
        objects: the bucket.
        packaged: folder of the released presets.
    """

    def __init__(self, folder: Path, limit_bytes: int, objects: Objects, packaged: Path = RELEASED) -> None:
        self._folder, self._limit_bytes, self._objects, self._packaged = folder, limit_bytes, objects, packaged
        self._packaged_sha256: dict[str, str] = {}

    def packaged_sha256(self, preset: str) -> str:
        """Return the version of the package.

        Raises:
            dubline.models.weights.WeightsError: the preset does not exist, or its manifest is missing or altered.
        """
        if preset not in self._packaged_sha256:
            self._packaged_sha256[preset] = released_sha256(preset, self._packaged)
        return self._packaged_sha256[preset]

    def verify(self, preset: str) -> None:
        """Check the package's version without loading it.

        Raises:
            dubline.models.weights.WeightsError: as of `packaged_sha256`.
            WeightsUnusableError: a file is missing or altered.
        """
        if not _intact(self._packaged / preset, preset, self.packaged_sha256(preset)):
            raise WeightsUnusableError(
                f"The packaged weights of {preset} have not the hashes of their manifest. Reinstall dubline."
            )

    @contextmanager
    def opened(self, preset: str, sha256: str, report: Callable[[], None]) -> Iterator[Path]:
        """Hold a folder in which `{preset}/` has the verified files of a version. Nothing removes them meanwhile.

        Args:
            preset: of the weights.
            sha256: the version.
            report: called while files are fetched or another process fetches them; may raise to stop.

        Raises:
            WeightsUnusableError: the bucket does not have this version, or has other files.
            StorageUnavailableError: the bucket does not respond.
            OSError: the disk is full, or the folder cannot be written.
        """
        (self._folder / LOCKS).mkdir(parents=True, exist_ok=True)
        version = self._folder / sha256
        with self._locked(sha256, report):
            if not _intact(version / preset, preset, sha256):
                self._fill(version, preset, sha256, report)
                metrics.FETCHED.labels(preset).inc()
                self._make_room(version)
            os.utime(version)
            yield version

    def _fill(self, version: Path, preset: str, sha256: str, report: Callable[[], None]) -> None:
        new = self._folder / f"{UNFINISHED}{sha256}"
        if version.exists():
            _log.warning("weights_altered", preset=preset, sha256=sha256)
        for left in (new, version):
            shutil.rmtree(left, ignore_errors=True)
        target = new / preset
        target.mkdir(parents=True)
        try:
            if self.packaged_sha256(preset) == sha256:
                shutil.copytree(self._packaged / preset, target, dirs_exist_ok=True)
            else:
                self._download(target, preset, sha256, report)
            if not _intact(target, preset, sha256):
                raise WeightsUnusableError(
                    f"The weights {sha256} of {preset} have not the hashes of their manifest. {ADVICE}"
                )
            new.rename(version)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        _log.info("weights_fetched", preset=preset, sha256=sha256)

    def _download(self, target: Path, preset: str, sha256: str, report: Callable[[], None]) -> None:
        def get(name: str, limit_bytes: int) -> Path:
            path = target / name
            self._objects.get(weights_key(preset, sha256, name), path, limit_bytes, report)
            return path

        try:
            # The manifest is checked before any file is named by it.
            manifest = read_manifest(get(MANIFEST, MANIFEST_BYTES).read_bytes(), preset, sha256)
            for file in manifest.files:
                get(file.name, file.size_bytes)
        except (UploadMissingError, UploadSizeMismatchError) as error:
            raise WeightsUnusableError(
                f"The bucket lacks files of the weights {sha256} of {preset}, or they are too long. {ADVICE}"
            ) from error

    def _make_room(self, kept: Path) -> None:
        """Remove the versions used least recently, until the others fit. One that is in use is left."""
        versions = {path: _size_bytes(path) for path in self._folder.iterdir() if path.name != LOCKS}
        excess = sum(versions.values()) - self._limit_bytes
        for path in sorted(versions, key=_used_at):
            if excess <= 0:
                return
            if path != kept:
                with suppress(BlockingIOError), self._lock(path.name.removeprefix(UNFINISHED)):
                    shutil.rmtree(path, ignore_errors=True)
                    excess -= versions[path]
                    _log.info("weights_removed", sha256=path.name)

    @contextmanager
    def _locked(self, sha256: str, report: Callable[[], None]) -> Iterator[None]:
        while True:
            report()
            with suppress(BlockingIOError):
                lock = self._lock(sha256)
                lock.__enter__()
                break
            time.sleep(LOCK_STEP_S)
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    @contextmanager
    def _lock(self, sha256: str) -> Iterator[None]:
        """Lock a version; the kernel releases the lock of a process that is killed.

        Raises:
            BlockingIOError: another process holds it.
        """
        with (self._folder / LOCKS / sha256).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield


def _intact(folder: Path, preset: str, sha256: str) -> bool:
    """Return whether a folder has exactly the files of a version."""
    try:
        if (folder / MANIFEST).stat().st_size > MANIFEST_BYTES:
            return False
        manifest = read_manifest((folder / MANIFEST).read_bytes(), preset, sha256)
        names = {path.name for path in folder.glob("*.safetensors")}
        return names == {file.name for file in manifest.files} and all(_equals(folder, file) for file in manifest.files)
    except (OSError, WeightsUnusableError):
        return False


def _equals(folder: Path, file: WeightsFile) -> bool:
    path = folder / file.name
    if path.is_symlink() or path.stat().st_size != file.size_bytes:
        return False
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256


def _size_bytes(folder: Path) -> int:
    """Return the size of all files. Meanwhile another process may rename or remove them."""
    size = 0
    # Folders that are gone are passed over.
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(place, name).lstat().st_size
    return size


def _used_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
