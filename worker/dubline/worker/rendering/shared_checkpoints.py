"""The checkpoints of a worker that helps with the job of another one: it fetches the motion and stores segments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.worker.rendering.stored_checkpoints import stored, unaltered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease
    from dubline.orchestration.storage.objects import Objects
    from dubline.worker.runtime.shutdown import Shutdown


class UnfitError(Exception):
    """This worker would render other bytes than the one that holds the job, or the motion is missing."""


@dataclass(slots=True, kw_only=True)
class SharedCheckpoints:
    """The checkpoints of a share. One segment is rendered at a time, and a due job ends the share after it."""

    store: Store
    """The database."""
    objects: Objects
    """The bucket."""
    share: Lease
    """The share."""
    shutdown: Shutdown
    """A graceful shutdown takes effect between two segments."""
    report: Callable[[], None]
    """Called during uploads and downloads; may raise to stop."""
    claim: Callable[[], Lease | None]
    """Claims the next job, if one is due."""
    due: Lease | None = field(default=None, init=False)
    """The job that was claimed; nothing else is rendered for the share."""
    _motion: Checkpoint | None = field(default=None, init=False)
    _over: bool = field(default=False, init=False)

    def begin(self, fingerprint: RenderFingerprint) -> None:
        """Compare the fingerprint with that of the job.

        Raises:
            UnfitError: this worker cannot help.
            LeaseLostError: the share is not open.
        """
        self._motion = self.store.shares.load_motion(self.share, fingerprint)
        if self._motion is None:
            raise UnfitError

    def fetch(self, kind: CheckpointKind, number: int, path: Path) -> bool:  # noqa: ARG002 - the protocol's
        """Download the motion.

        Raises:
            UnfitError: it is missing or damaged.
            StorageUnavailableError: the bucket cannot be reached.
        """
        if kind is not CheckpointKind.MOTION or self._motion is None:
            return False
        if not unaltered(self.objects, self._motion, path, self.report):
            raise UnfitError
        return True

    def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
        """Upload a segment and insert its row.

        Raises:
            LeaseLostError: the share is not open.
            StorageUnavailableError: the bucket cannot be reached.
            DatabaseUnavailableError: the row cannot be inserted.
        """
        checkpoint = stored(self.objects, self.share, kind, number, path, self.report)
        self.store.shares.save_checkpoint(self.share, checkpoint)

    def check(self) -> None:
        """End the share if the worker stops.

        Raises:
            StoppedError: the worker stops.
        """
        self.shutdown.raise_if_requested()

    @property
    def stored(self) -> int:
        """Return 0: the worker that holds the job tells its progress."""
        return 0

    def missing(self, count: int) -> Iterator[int]:  # noqa: ARG002 - the protocol's
        """Take a segment and yield it.

        Raises:
            LeaseLostError: the share is not open.
        """
        number = self.store.shares.reserve(self.share, helps=True).reserved
        if number is None:
            self._over = True
        else:
            yield number

    def settled(self, count: int) -> bool:  # noqa: ARG002 - the protocol's
        """Return whether no segment is free or a job is due.

        Raises:
            StoppedError: the worker stops.
        """
        self.shutdown.raise_if_requested()
        if not self._over:
            self.due = self.claim()
        return self._over or self.due is not None
