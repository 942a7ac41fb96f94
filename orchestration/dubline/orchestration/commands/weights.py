"""Commands of weights: push a version to the bucket, list versions, pin new jobs to one."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.errors import WeightsUnusableError
from dubline.orchestration.domain.object_keys import weights_key
from dubline.orchestration.domain.weights import (
    LENGTH_BYTES,
    MANIFEST,
    MANIFEST_BYTES,
    is_safetensors,
    read_manifest,
)
from dubline.orchestration.settings import BucketSettings, DatabaseSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from dubline.orchestration.domain.weights import Manifest, WeightsFile


def push(arguments: Namespace) -> int:
    """Store the version in a folder in the bucket; with an argument, pin new jobs of its preset to it."""
    manifest = _checked(arguments.folder)
    objects = Objects(BucketSettings.read())
    # The manifest last: what has one is complete.
    for name in (*(file.name for file in manifest.files), MANIFEST):
        key = weights_key(manifest.preset, manifest.sha256, name)
        objects.put(arguments.folder / name, key, "application/octet-stream")
    with Store.connect(DatabaseSettings.read()) as store:
        store.weights.add(manifest)
        if arguments.pin:
            store.weights.pin(manifest.preset, manifest.sha256)
    sys.stdout.write(f"{manifest.preset} {manifest.sha256}\n")
    return 0


def list_weights(_: Namespace) -> int:
    """Print the versions in the bucket, one a line."""
    with Store.connect(DatabaseSettings.read()) as store:
        versions = store.weights.list()
    sys.stdout.writelines(
        f"{one.preset} {one.sha256} bytes={one.size_bytes} pushed={one.pushed_at.isoformat(timespec='seconds')} "
        f"pinned={'no' if one.pinned_at is None else one.pinned_at.isoformat(timespec='seconds')}\n"
        for one in versions
    )
    return 0


def pin(arguments: Namespace) -> int:
    """Pin new jobs of a preset to a version, or to that of the worker's package."""
    with Store.connect(DatabaseSettings.read()) as store:
        store.weights.pin(arguments.preset, None if arguments.sha256 == "package" else arguments.sha256)
    return 0


def _checked(folder: Path) -> Manifest:
    """Read the manifest in a folder and compare its files with it."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            manifest = read_manifest(file.read(MANIFEST_BYTES + 1))
        for listed in manifest.files:
            _check(folder / listed.name, listed)
    except OSError as error:
        raise WeightsUnusableError(f"The weights in {folder} cannot be read: {error.strerror}.") from error
    return manifest


def _check(path: Path, listed: WeightsFile) -> None:
    with path.open("rb") as file:
        if not is_safetensors(file.read(LENGTH_BYTES + 1), listed.size_bytes):
            raise WeightsUnusableError(f"{path} is not a file in the safetensors format.")
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != listed.sha256 or path.stat().st_size != listed.size_bytes:
        raise WeightsUnusableError(f"{path} does not have the hash and the size in the manifest.")
