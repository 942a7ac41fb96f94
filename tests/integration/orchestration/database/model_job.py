"""A job of the state machines' model: its attempts, its checkpoints, and what its failures are charged to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.jobs import FINAL, Cause, JobState, Outcome
from dubline.orchestration.domain.retry import RESET_ON_PROGRESS

if TYPE_CHECKING:
    from uuid import UUID

    from dubline.orchestration.domain.leases import Lease

FINGERPRINTS = [
    RenderFingerprint(
        weights_sha256=weights * 64,
        render_batch=batch,
        segment_frames=100,
        encoder_threads=2,
        renderer_sha256=renderer * 64,
    )
    for weights, batch, renderer in (("a", 4, "f"), ("a", 2, "f"), ("c", 4, "f"), ("a", 4, "e"))
]
SLOTS = [(CheckpointKind.MOTION, 0), (CheckpointKind.SEGMENT, 0), (CheckpointKind.SEGMENT, 1)]


def checkpoint(key: str, kind: CheckpointKind = CheckpointKind.SEGMENT, number: int = 0) -> Checkpoint:
    return Checkpoint(kind=kind, number=number, object_key=key, size_bytes=1, sha256="b" * 64)


@dataclass
class ModelAttempt:
    lease: Lease
    worker: str
    outcome: Outcome | None = None
    cause: Cause | None = None
    refused: int = 0
    gpu_s: float = 0.0
    saved: bool = False


@dataclass
class ModelJob:
    batch_id: UUID | None = None
    state: JobState = JobState.QUEUED
    due: bool = True
    late: bool = False
    expired: bool = False
    fingerprint: RenderFingerprint | None = None
    attempts: list[ModelAttempt] = field(default_factory=list)
    checkpoints: dict[tuple[CheckpointKind, int], Checkpoint] = field(default_factory=dict)

    @property
    def attempt(self) -> ModelAttempt:
        """The last attempt."""
        return self.attempts[-1]

    def failures(self) -> list[tuple[Cause, str]]:
        """Cause and worker of each charged attempt."""
        made_progress = max((number for number, attempt in enumerate(self.attempts, 1) if attempt.saved), default=0)
        return [
            (attempt.cause, attempt.worker)
            for number, attempt in enumerate(self.attempts, 1)
            if attempt.outcome is Outcome.RETRIED
            and attempt.cause
            and (attempt.cause not in RESET_ON_PROGRESS or number > made_progress)
        ]

    def failed_by(self) -> set[str]:
        return {worker for cause, worker in self.failures() if cause is not Cause.TRANSIENT}

    def charged(self, worker: str, *, alternative: bool) -> Counter[Cause]:
        """Count attempts; with an alternative, the workers other than this one."""
        failures = self.failures()
        if alternative:
            outages = [one for one in failures if one[0] is Cause.TRANSIENT]
            failures = outages + list({one for one in failures if one[0] is not Cause.TRANSIENT and one[1] != worker})
        return Counter(cause for cause, _ in failures)

    def end(self, state: JobState, outcome: Outcome | None = None, cause: Cause | None = None) -> None:
        """Change the state; the open attempt ends."""
        if self.state is JobState.RUNNING:
            self.attempt.outcome, self.attempt.cause = outcome, cause
        self.state, self.due, self.expired = state, True, False
        if state in FINAL:
            self.checkpoints = {}
