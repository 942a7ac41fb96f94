"""Checkpoints in the bucket, under the keys of their attempt, with a database row for each."""

from __future__ import annotations

import hashlib
import time
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
from dubline.orchestration.domain.jobs import Cause
from dubline.orchestration.domain.sharing import LEAST_SEGMENTS
from dubline.worker.rendering.division import WAIT_S, Division

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    _fingerprint: RenderFingerprint | None = None
    _earlier: dict[tuple[CheckpointKind, int], Checkpoint] = field(default_factory=dict)
    _has_motion: bool = False
    _own: set[int] = field(default_factory=set)
    """Numbers of the segments that this attempt renders or has rendered, the first ones before the job is shared."""
    _division: Division | None = None

    def begin(self, fingerprint: RenderFingerprint) -> None:
        """Record how this attempt renders, and load the usable checkpoints of earlier attempts.

        Raises:
            LeaseLostError: the lease is lost.
            DatabaseUnavailableError: the database cannot be reached.
        """
        self._fingerprint = fingerprint
        self._load()
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
        return unaltered(self.objects, checkpoint, path, self.report)

    def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
        """Upload a checkpoint and insert its row. Without the bucket or the database the attempt continues without it.

        Raises:
            StoppedError: a stop is forced.
            LeaseLostError: the lease is lost.
        """
        try:
            checkpoint = stored(self.objects, self.lease, kind, number, path, self.report)
            self.store.leases.save_checkpoint(self.lease, checkpoint)
            self.made_progress = True
            self._has_motion |= kind is CheckpointKind.MOTION
            if kind is CheckpointKind.SEGMENT:
                self._own.add(number)
        except (StorageUnavailableError, DatabaseUnavailableError) as error:
            _log.warning(
                "checkpoint_not_kept", kind=kind.value, number=number, code=error.code, reason=repr(error.__cause__)
            )

    def check(self) -> None:
        """End the attempt if the worker stops.

        Raises:
            StoppedError: the worker stops.
        """
        self.shutdown.raise_if_requested()

    @property
    def stored(self) -> int:
        """Number of segments that are stored and that this attempt does not render."""
        return 0 if self._division is None else self._division.of_others

    def missing(self, count: int) -> Iterator[int]:
        """Yield the numbers of the segments to render. A long job is offered to other workers first.

        Raises:
            LeaseLostError: the lease is lost.
        """
        if self._division is None:
            known = frozenset(number for kind, number in self._earlier if kind is CheckpointKind.SEGMENT)
            stored = known | self._own
            self._division = Division(store=self.store, lease=self.lease, count=count, stored=stored, own=self._own)
            # After too little memory, batches differ from those of other workers.
            if count >= LEAST_SEGMENTS and self._has_motion and not self.lease.charged.get(Cause.OUT_OF_MEMORY):
                self._division.offer()
        return self._division.missing()

    def settled(self, count: int) -> bool:  # noqa: ARG002 - the protocol's
        """Wait for the segments that other workers have taken. Those of workers that are lost are missing again.

        Raises:
            StoppedError: the worker stops.
            LeaseLostError: the lease is lost.
        """
        if self._division is None or not self._division.shared:
            return True
        self.shutdown.raise_if_requested()
        if not self._division.settled(self.report):
            return False
        try:
            self._load()
        except DatabaseUnavailableError as error:
            _log.warning("segments_not_found_yet", code=error.code, reason=repr(error.__cause__))
            time.sleep(WAIT_S)
            return False
        return True

    def _load(self) -> None:
        if self._fingerprint is not None:
            earlier = self.store.leases.load_checkpoints(self.lease, self._fingerprint)
            self._earlier = {(checkpoint.kind, checkpoint.number): checkpoint for checkpoint in earlier}
            self._has_motion = (CheckpointKind.MOTION, 0) in self._earlier


def stored(  # noqa: PLR0913, PLR0917 - the place of an object, its file and a callback
    objects: Objects, lease: Lease, kind: CheckpointKind, number: int, path: Path, report: Callable[[], None]
) -> Checkpoint:
    """Upload a checkpoint under the token of an attempt or of a share.

    Raises:
        StorageUnavailableError: the bucket cannot be reached.
    """
    key = f"{lease.attempt_prefix}{kind.value}-{number:06}.{SUFFIXES[kind]}"
    size_bytes = objects.put(path, key, CONTENT_TYPES[kind], report)
    return Checkpoint(kind=kind, number=number, object_key=key, size_bytes=size_bytes, sha256=_sha256(path))


def unaltered(objects: Objects, checkpoint: Checkpoint, path: Path, report: Callable[[], None]) -> bool:
    """Download a checkpoint; return False if it is missing or damaged.

    Raises:
        StorageUnavailableError: the bucket cannot be reached.
    """
    try:
        objects.get(checkpoint.object_key, path, limit_bytes=checkpoint.size_bytes, report=report)
    except (UploadMissingError, UploadSizeMismatchError) as error:
        _log.warning("checkpoint_unusable", key=checkpoint.object_key, code=error.code, reason=repr(error.__cause__))
        return False
    if _sha256(path) != checkpoint.sha256:
        _log.warning("checkpoint_unusable", key=checkpoint.object_key, code="altered")
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
