"""Weights: files in the safetensors format, and the manifest that lists them with their hashes.

A version is named by one hash: that of its file, or of the list of its files as `sha256sum` prints it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.errors import WeightsUnusableError

if TYPE_CHECKING:
    from datetime import datetime

MANIFEST: Final = "manifest.json"
#: Largest manifest in bytes.
MANIFEST_BYTES: Final = 65_536
#: Most files of a version, and their bytes.
FILES_MAX: Final = 256
VERSION_BYTES: Final = 16_000_000_000
#: The length of the header at the start of a file, little-endian.
LENGTH_BYTES: Final = 8
#: Tensors only: other formats can contain programs. Files are next to the manifest; paths are refused.
_FILE: Final = re.compile(r"[A-Za-z0-9_-]{1,100}\.safetensors")
_PRESET: Final = re.compile(r"[a-z0-9_-]{1,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def held_name(preset: str, sha256: str | None) -> str:
    """Return how a worker names networks on its device when it claims; None: those of jobs without a version."""
    return f"{preset}:{sha256 or ''}"


@dataclass(frozen=True, slots=True)
class Pin:
    """The version of the weights with which a job is rendered."""

    sha256: str
    pushed: bool
    """Whether it was pushed to the bucket; otherwise an earlier attempt used it, and other weights may replace it."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file of a version."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of the weights of a preset."""

    preset: str
    sha256: str
    files: tuple[WeightsFile, ...]

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Version:
    """A version in the bucket."""

    preset: str
    sha256: str
    size_bytes: int
    pushed_at: datetime
    pinned_at: datetime | None
    """Since when new jobs of the preset are rendered with it; None: they are not."""


def read_manifest(data: bytes, preset: str | None = None, sha256: str | None = None) -> Manifest:
    """Read a manifest from anywhere, and check it.

    Args:
        data: content of the file.
        preset: that is expected; None: any.
        sha256: version that is expected; None: any.

    Raises:
        WeightsUnusableError: it is not a manifest, names other files than plain ones, or is not the expected one.
    """
    try:
        found = json.loads(data)
        files = tuple(
            WeightsFile(str(file["name"]), str(file["sha256"]), int(file["bytes"])) for file in found["files"]
        )
        manifest = Manifest(str(found["preset"]), str(found["sha256"]), files)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsUnusableError("The manifest of the weights is not one that dubline writes.") from error
    for file in files:
        if not _FILE.fullmatch(file.name) or not _SHA256.fullmatch(file.sha256) or file.size_bytes < 1:
            raise WeightsUnusableError(f"The manifest of the weights names {file.name[:100]!r}, which is not accepted.")
    if len({file.name for file in files}) != len(files) or not 1 <= len(files) <= FILES_MAX:
        raise WeightsUnusableError(f"The manifest of the weights does not name 1 to {FILES_MAX} different files.")
    if manifest.size_bytes > VERSION_BYTES:
        raise WeightsUnusableError(f"The weights have more than {VERSION_BYTES} bytes.")
    if not _PRESET.fullmatch(manifest.preset) or preset not in (None, manifest.preset):
        raise WeightsUnusableError(f"The manifest is not that of the preset {preset}.")
    if combined_sha256(files) != manifest.sha256 or sha256 not in (None, manifest.sha256):
        raise WeightsUnusableError("The manifest of the weights does not have the hash that names them.")
    return manifest


def combined_sha256(files: tuple[WeightsFile, ...]) -> str:
    """Return the hash that names a version, as `dubline.models.weights` does."""
    if len(files) == 1:
        return files[0].sha256
    return hashlib.sha256("".join(f"{file.sha256}  {file.name}\n" for file in files).encode()).hexdigest()


def is_safetensors(start: bytes, size_bytes: int) -> bool:
    """Return whether the first bytes of a file are those of safetensors: the length of a JSON object, then `{`."""
    header_bytes = int.from_bytes(start[:LENGTH_BYTES], "little")
    return 0 < header_bytes <= size_bytes - LENGTH_BYTES and start[LENGTH_BYTES:][:1] == b"{"
