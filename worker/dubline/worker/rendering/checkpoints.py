"""The checkpoint interface of the pipeline: storage of finished parts of a job between its attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dubline.orchestration.domain.checkpoints import CheckpointKind, RenderFingerprint


class Checkpoints(Protocol):
    """The checkpoints of one job: its motion, with number 0, and its segments."""

    def begin(self, fingerprint: RenderFingerprint) -> None:
        """Declare how this attempt renders; checkpoints with another fingerprint are not used."""

    def fetch(self, kind: CheckpointKind, number: int, path: Path) -> bool:
        """Write a checkpoint of an earlier attempt to `path`; return False if there is no intact one."""

    def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
        """Store a finished checkpoint; a thread may call it while the job goes on. May raise to stop the job."""

    def check(self) -> None:
        """Check between two parts of a job, when none would be lost, whether it goes on. May raise to stop it."""

    @property
    def stored(self) -> int:
        """Number of segments that are stored and that this worker has not rendered."""

    def missing(self, count: int) -> Iterator[int]:
        """Yield the number of each segment of `count` that this worker has to render now. It never waits."""

    def settled(self, count: int) -> bool:
        """Wait for segments that other workers render.

        Returns:
            Whether all segments are rendered or stored; if not, `missing` yields again. May raise to stop the job.
        """


class NoCheckpoints:
    """Stores nothing; for rendering without attempts."""

    def begin(self, fingerprint: RenderFingerprint) -> None:
        """Ignore the fingerprint."""

    def fetch(self, kind: CheckpointKind, number: int, path: Path) -> bool:  # noqa: ARG002 - the protocol's
        """Return False."""
        return False

    def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
        """Store nothing."""

    def check(self) -> None:
        """Go on."""

    @property
    def stored(self) -> int:
        """Return 0."""
        return 0

    def missing(self, count: int) -> Iterator[int]:
        """Yield all numbers."""
        yield from range(count)

    def settled(self, count: int) -> bool:  # noqa: ARG002 - the protocol's
        """Return True."""
        return True
