"""The render fingerprint of a job and its usable checkpoints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, text

from dubline.orchestration.database.rows import CheckpointRow
from dubline.orchestration.database.store.pending_deletion import ALL_KINDS, mark_checkpoints_for_deletion
from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import LeaseLostError

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from dubline.orchestration.domain.leases import Lease

_LOCK_FINGERPRINT: Final = text("""
SELECT weights_sha256, render_batch, segment_frames, encoder_threads, renderer_sha256 FROM jobs
WHERE id = :job_id AND lease_token = :token FOR UPDATE
""")
_SET_FINGERPRINT: Final = text("""
UPDATE jobs SET weights_sha256 = :weights_sha256, render_batch = :render_batch, segment_frames = :segment_frames,
    encoder_threads = :encoder_threads, renderer_sha256 = :renderer_sha256, shared_segments = NULL
WHERE id = :job_id
""")
#: Their workers render differently. The job is locked, so none of them can store a segment meanwhile.
_END_SHARES: Final = text("UPDATE shares SET ended_at = now() WHERE job_id = :job_id AND ended_at IS NULL")


def load(session: Session, lease: Lease, fingerprint: RenderFingerprint) -> tuple[Checkpoint, ...]:
    """Set the render fingerprint of a job, discard checkpoints with another one, and read the rest in order.

    Raises:
        LeaseLostError: the token is not valid.
    """
    row = session.execute(_LOCK_FINGERPRINT, {"job_id": lease.job_id, "token": lease.token}).one_or_none()
    if row is None:
        raise LeaseLostError
    if row._asdict() != asdict(fingerprint):
        # The motion depends on the networks and on the renderer; segments depend on the whole fingerprint.
        of_motion = (row.weights_sha256, row.renderer_sha256) == (
            fingerprint.weights_sha256,
            fingerprint.renderer_sha256,
        )
        discarded = (CheckpointKind.SEGMENT.value,) if of_motion else ALL_KINDS
        mark_checkpoints_for_deletion(session, [lease.job_id], kinds=discarded)
        session.execute(_SET_FINGERPRINT, asdict(fingerprint) | {"job_id": lease.job_id})
        session.execute(_END_SHARES, {"job_id": lease.job_id})
    rows = session.scalars(
        select(CheckpointRow)
        .where(CheckpointRow.job_id == lease.job_id)
        .order_by(CheckpointRow.kind, CheckpointRow.number)
    )
    return tuple(map(_checkpoint_of, rows))


def motion_of(session: Session, job_id: UUID) -> Checkpoint | None:
    """Read the motion of a job; None if it is not stored."""
    row = session.get(CheckpointRow, (job_id, CheckpointKind.MOTION.value, 0))
    return None if row is None else _checkpoint_of(row)


def _checkpoint_of(row: CheckpointRow) -> Checkpoint:
    return Checkpoint(
        kind=CheckpointKind(row.kind),
        number=row.number,
        object_key=row.object_key,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
    )
