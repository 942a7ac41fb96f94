"""Shares: the right of a worker to render segments of a long job that another worker holds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from sqlalchemy import text

from dubline.orchestration.database.store.attempts import checkpoints, rescue
from dubline.orchestration.database.store.attempts.busy import OPEN_SHARE
from dubline.orchestration.database.store.attempts.claim import lease_of
from dubline.orchestration.database.store.sharing import statements
from dubline.orchestration.database.store.transaction import OneStatement, transaction
from dubline.orchestration.domain.errors import DatabaseUnavailableError, LeaseLostError
from dubline.orchestration.domain.pools import DEFAULT_POOL
from dubline.orchestration.domain.sharing import Segments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Engine

    from dubline.orchestration.database.store.unconfirmed import UnconfirmedClaims
    from dubline.orchestration.domain.checkpoints import Checkpoint, RenderFingerprint
    from dubline.orchestration.domain.jobs import Cause
    from dubline.orchestration.domain.leases import Lease

_OFFER: Final = """
UPDATE jobs SET shared_segments = %(segments)s WHERE id = %(job_id)s AND lease_token = %(token)s RETURNING id
"""
_LOCK_ATTEMPT: Final = text("""
SELECT shared_segments, lease_token FROM jobs
WHERE id = :job_id AND lease_token = :token AND shared_segments IS NOT NULL FOR UPDATE
""")
_LOCK_SHARE: Final = text("""
SELECT jobs.shared_segments - 1 AS shared_segments, jobs.lease_token FROM jobs JOIN shares ON shares.job_id = jobs.id
WHERE jobs.id = :job_id AND shares.token = :token AND shares.ended_at IS NULL
    AND jobs.state = 'running' AND jobs.shared_segments IS NOT NULL FOR UPDATE
""")
_STORED: Final = text("SELECT number FROM checkpoints WHERE job_id = :job_id AND kind = 'segment'")
_RESERVE: Final = text(f"""
INSERT INTO reserved_segments (job_id, number, token)
SELECT :job_id, number, :token FROM generate_series(0, :segments - 1) AS number
WHERE number <> ALL(CAST(:stored AS integer[])) AND number NOT IN (
    SELECT reserved.number FROM reserved_segments AS reserved WHERE reserved.job_id = :job_id AND (
        reserved.token = :owner OR EXISTS (SELECT FROM shares WHERE shares.token = reserved.token AND {OPEN_SHARE})
    )
) ORDER BY number LIMIT 1
ON CONFLICT (job_id, number) DO UPDATE SET token = excluded.token RETURNING number
""")  # noqa: S608 - our own text
_LOCK_FINGERPRINT: Final = text("""
SELECT jobs.weights_sha256, jobs.render_batch, jobs.segment_frames, jobs.encoder_threads, jobs.renderer_sha256
FROM jobs JOIN shares ON shares.job_id = jobs.id
WHERE jobs.id = :job_id AND shares.token = :token AND shares.ended_at IS NULL AND jobs.finalized_at IS NULL FOR SHARE
""")


class Shares:
    """Claims of shares, and the writes of their holders.

    A write of a share that is not open raises LeaseLostError and changes nothing: the job is final, another version of
    the renderer has taken it over, or the share expired and was ended. A share outlives the attempt that offered it.

    Args:
        engine: of the database.
        unconfirmed: claims of this process whose result was lost.
    """

    def __init__(self, engine: Engine, unconfirmed: UnconfirmedClaims) -> None:
        self._engine = engine
        self._unconfirmed = unconfirmed
        self._run = OneStatement(engine)

    def offer(self, lease: Lease, segments: int) -> None:
        """Let other workers render segments of a job, whose motion is stored.

        Args:
            lease: of the attempt.
            segments: number of segments of the video.

        Raises:
            LeaseLostError: the token is not valid; the attempt must stop.
        """
        if not self._run(_OFFER, job_id=lease.job_id, token=lease.token, segments=segments):
            raise LeaseLostError

    def claim(
        self, worker: str, lease_s: float, renderer_sha256: str, *, pool: str = DEFAULT_POOL, presets: Iterable[str]
    ) -> Lease | None:
        """Claim a share of a job that needs help; None if there is none. Call it when no job is due.

        Args:
            worker: name of the worker.
            lease_s: seconds until the lease expires unless it is renewed.
            renderer_sha256: version of the worker's renderer; it helps with jobs of this version only.
            pool: of the worker.
            presets: that the worker renders.

        Returns:
            A lease whose token is that of the share. Only methods of this class accept it.
        """
        token = uuid4()
        try:
            rows = self._run(
                statements.CLAIM,
                token=token,
                worker=worker,
                worker_name=worker.partition("/")[0],
                pool=pool,
                presets=list(presets),
                renderer_sha256=renderer_sha256,
                lease_s=lease_s,
            )
        except DatabaseUnavailableError:
            self._unconfirmed.add(token)
            raise
        return lease_of(rows, token) if rows else None

    def renew(self, share: Lease, lease_s: float) -> Lease:
        """Extend a share to `lease_s` seconds from now.

        Raises:
            LeaseLostError: it is not open.
        """
        rows = self._run(statements.RENEW, token=share.token, lease_s=lease_s)
        if not rows:
            raise LeaseLostError
        with suppress(DatabaseUnavailableError):
            self._unconfirmed.release()
        return replace(share, expires_at=rows[0].lease_expires_at)

    def progress(self, share: Lease, gpu_s: float) -> None:
        """Report the device time of a share so far; a smaller value than before is ignored.

        Raises:
            LeaseLostError: it is not open.
        """
        if not self._run(statements.PROGRESS, token=share.token, gpu_s=gpu_s):
            raise LeaseLostError

    def load_motion(self, share: Lease, fingerprint: RenderFingerprint) -> Checkpoint | None:
        """Read the motion of the job; None if it is not stored, or if this worker renders differently.

        Raises:
            LeaseLostError: the share is not open.
        """
        values = {"job_id": share.job_id, "token": share.token}
        with transaction(self._engine) as session:
            row = session.execute(_LOCK_FINGERPRINT, values).one_or_none()
            if row is None:
                raise LeaseLostError
            if row._asdict() != asdict(fingerprint):
                return None
            return checkpoints.motion_of(session, share.job_id)

    def reserve(self, lease: Lease, *, helps: bool) -> Segments:
        """Reserve the first segment of a shared job that nobody has stored or renders.

        What an attempt or a share that has ended had reserved is free. Only the attempt reserves the last segment.

        Args:
            lease: of the attempt, or of a share.
            helps: whether it is of a share.

        Raises:
            LeaseLostError: the token is not valid, or the job is not shared any more.
        """
        values: dict[str, Any] = {"job_id": lease.job_id, "token": lease.token}
        with transaction(self._engine) as session:
            row = session.execute(_LOCK_SHARE if helps else _LOCK_ATTEMPT, values).one_or_none()
            if row is None:
                raise LeaseLostError
            # A statement of its own: it sees what was committed while the lock was awaited.
            stored = frozenset(session.scalars(_STORED, values))
            values |= {"segments": row.shared_segments, "owner": row.lease_token, "stored": list(stored)}
            return Segments(reserved=session.scalar(_RESERVE, values), stored=stored)

    def save_checkpoint(self, share: Lease, checkpoint: Checkpoint) -> None:
        """Insert a segment whose object is in the bucket. It replaces one of the same number.

        Raises:
            LeaseLostError: the share is not open.
        """
        values = {
            "number": checkpoint.number,
            "object_key": checkpoint.object_key,
            "size_bytes": checkpoint.size_bytes,
            "sha256": checkpoint.sha256,
        }
        if not self._run(statements.SAVE_CHECKPOINT, token=share.token, **values):
            raise LeaseLostError

    def end_expired(self) -> int:
        """End the shares whose lease expired; return their number. Their workers count as lost."""
        with transaction(self._engine) as session:
            return rescue.end_expired_shares(session)

    def end(self, share: Lease, cause: Cause | None = None, gpu_s: float = 0.0) -> None:
        """End a share; what it had reserved is free.

        Args:
            share: the share.
            cause: why it failed; None: there was nothing left to do, or a job is due.
            gpu_s: as for `progress`.

        Raises:
            LeaseLostError: it is not open.
        """
        if not self._run(statements.END, token=share.token, cause=cause, gpu_s=gpu_s):
            raise LeaseLostError
