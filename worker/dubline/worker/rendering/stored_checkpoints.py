"""Keeps the finished pieces of a job in the bucket, under the attempt's own keys, and names them in its rows."""

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
ENDINGS: Final = {CheckpointKind.MOTION: "npy", CheckpointKind.SEGMENT: "mp4"}


@dataclass(slots=True, kw_only=True)
class StoredCheckpoints:
    """The pieces of the job that a lease is for."""

    store: Store
    """The rows."""
    objects: Objects
    """The bucket."""
    lease: Lease
    """Of the attempt that works."""
    shutdown: Shutdown
    """The end of a piece is where a worker that is to stop leaves."""
    report: Callable[[], None]
    """Called while files are under way; may raise to stop."""
    made_progress: bool = False
    """Whether this attempt kept a piece."""
    _left: dict[tuple[CheckpointKind, int], Checkpoint] = field(default_factory=dict)

    def begin(self, fingerprint: RenderFingerprint) -> None:
        """Say how this attempt renders, and learns what earlier ones left that fits.

        Raises:
            LeaseLostError: the job is no longer ours.
            DatabaseUnavailableError: the rows cannot be asked.
        """
        left = self.store.leases.begin(self.lease, fingerprint)
        self._left = {(piece.kind, piece.number): piece for piece in left}
        if self._left:
            _log.info("job_resumed", pieces=len(self._left))

    def fetch(self, kind: CheckpointKind, number: int, path: Path) -> bool:
        """Bring a piece from the bucket; one that is gone or damaged is made anew.

        Raises:
            StoppedError: the worker stops.
            StorageUnavailableError: the bucket does not answer.
        """
        piece = self._left.get((kind, number))
        if piece is None:
            return False
        self.shutdown.raise_if_requested()
        try:
            self.objects.get(piece.object_key, path, limit_bytes=piece.size_bytes, report=self.report)
        except (UploadMissingError, UploadSizeMismatchError) as error:
            _log.warning("checkpoint_unusable", key=piece.object_key, code=error.code)
            return False
        if _sha256(path) != piece.sha256:
            _log.warning("checkpoint_unusable", key=piece.object_key, code="altered")
            return False
        return True

    def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
        """Store a piece and names it. A bucket or database that is away only costs what is kept.

        Raises:
            StoppedError: the worker stops, and this piece is safe.
            LeaseLostError: the job is no longer ours.
        """
        key = f"{self.lease.attempt_prefix}{kind.value}-{number:06}.{ENDINGS[kind]}"
        try:
            size_bytes = self.objects.put(path, key, CONTENT_TYPES[kind], self.report)
            piece = Checkpoint(kind=kind, number=number, object_key=key, size_bytes=size_bytes, sha256=_sha256(path))
            self.store.leases.keep(self.lease, piece)
            self.made_progress = True
        except (StorageUnavailableError, DatabaseUnavailableError) as error:
            _log.warning("checkpoint_not_kept", key=key, code=error.code)
        self.shutdown.raise_if_requested()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
