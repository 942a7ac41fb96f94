"""What the pipeline asks of whoever keeps finished pieces of a job between its attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.orchestration.domain.checkpoints import CheckpointKind, RenderFingerprint


class Checkpoints(Protocol):
    """The pieces of one job: its motion, number 0, and its segments."""

    def begin(self, fingerprint: RenderFingerprint) -> None:
        """Say how this attempt renders; pieces that were made otherwise are as good as absent."""

    def fetch(self, kind: CheckpointKind, number: int, path: Path) -> bool:
        """Write a piece that an earlier attempt finished to `path`; tells whether there was one that is sound."""

    def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
        """Take a finished piece. May raise to stop the job."""


class NoCheckpoints:
    """For whoever renders without attempts: nothing is kept, nothing found."""

    def begin(self, fingerprint: RenderFingerprint) -> None:
        """Forget how."""

    def fetch(self, kind: CheckpointKind, number: int, path: Path) -> bool:  # noqa: ARG002 - the protocol's
        """Find nothing."""
        return False

    def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
        """Keep nothing."""
