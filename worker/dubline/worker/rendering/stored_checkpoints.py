"""Checkpoints in the bucket, under the keys of their attempt, with a database row for each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import (
    DatabaseUnavailableError,
    StorageUnavailableError,
    UploadMissingError,
    UploadSizeMismatchError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease
    from dubline.orchestration.storage.objects import Objects
    from dubline.worker.runtime.shutdown import Shutdown

_log = structlog.get_logger(__name__)

CONTENT_TYPES: Final = {CheckpointKind.MOTION: "application/octet-stream", CheckpointKind.SEGMENT: "video/mp4"}
SUFFIXES: Final = {CheckpointKind.MOTION: "npy", CheckpointKind.SEGMENT: "mp4"}


@dataclass(slots=True, kw_only=True)
class StoredCheckpoints:
    """The checkpoints of a leased job."""

    store: Store
    """The database."""
    objects: Objects
    """The bucket."""
    lease: Lease
    """Lease of the current attempt."""
    shutdown: Shutdown
    """A graceful shutdown takes effect between two checkpoints."""
    report: Callable[[], None]
    """Called during uploads and downloads; may raise to stop."""
    made_progress: bool = False
    """Whether this attempt stored a checkpoint."""
    _earlier: dict[tuple[CheckpointKind, int], Checkpoint] = field(default_factory=dict)

    def begin(self, fingerprint: RenderFingerprint) -> None:
        """Record how this attempt renders, and load the usable checkpoints of earlier attempts.

        Raises:
            LeaseLostError: the lease is lost.
            DatabaseUnavailableError: the database cannot be reached.
        """
        earlier = self.store.leases.load_checkpoints(self.lease, fingerprint)
        self._earlier = {(checkpoint.kind, checkpoint.number): checkpoint for checkpoint in earlier}
        if self._earlier:
            _log.info("job_resumed", checkpoints=len(self._earlier))

    def fetch(self, kind: CheckpointKind, number: int, path: Path) -> bool:
        """Download a checkpoint; return False if it is missing or damaged.

        Raises:
            StoppedError: the worker stops.
            StorageUnavailableError: the bucket cannot be reached.
        """
        checkpoint = self._earlier.get((kind, number))
        if checkpoint is None:
            return False
        self.shutdown.raise_if_requested()
        try:
            self.objects.get(checkpoint.object_key, path, limit_bytes=checkpoint.size_bytes, report=self.report)
        except (UploadMissingError, UploadSizeMismatchError) as error:
            _log.warning("checkpoint_unusable", key=checkpoint.object_key, code=error.code)
            return False
        if _sha256(path) != checkpoint.sha256:
            _log.warning("checkpoint_unusable", key=checkpoint.object_key, code="altered")
            return False
        return True

    def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
        """Upload a checkpoint and insert its row. Without the bucket or the database the attempt continues without it.

        Raises:
            StoppedError: a stop is forced.
            LeaseLostError: the lease is lost.
        """
        key = f"{self.lease.attempt_prefix}{kind.value}-{number:06}.{SUFFIXES[kind]}"
        try:
            size_bytes = self.objects.put(path, key, CONTENT_TYPES[kind], self.report)
            checkpoint = Checkpoint(
                kind=kind, number=number, object_key=key, size_bytes=size_bytes, sha256=_sha256(path)
            )
            self.store.leases.save_checkpoint(self.lease, checkpoint)
            self.made_progress = True
        except (StorageUnavailableError, DatabaseUnavailableError) as error:
            _log.warning("checkpoint_not_kept", key=key, code=error.code)

    def check(self) -> None:
        """End the attempt if the worker stops.

        Raises:
            StoppedError: the worker stops.
        """
        self.shutdown.raise_if_requested()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
