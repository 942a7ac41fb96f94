"""Leases: the time-limited right to one attempt at one job. Every write is fenced by the attempt's token."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

from dubline.options.render import PRESETS
from dubline.orchestration.database.store.attempts import checkpoints, fenced_statements, rescue
from dubline.orchestration.database.store.attempts.claim import claim_of, lease_of
from dubline.orchestration.database.store.attempts.running_limit import release_excess
from dubline.orchestration.database.store.sharing.statements import END_MANY
from dubline.orchestration.database.store.transaction import OneStatement, transaction
from dubline.orchestration.database.store.unconfirmed import UnconfirmedClaims
from dubline.orchestration.domain.errors import DatabaseUnavailableError, LeaseLostError, UploadMissingError
from dubline.orchestration.domain.jobs import Cause, Stage
from dubline.orchestration.domain.pools import DEFAULT_POOL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Engine

    from dubline.orchestration.domain.checkpoints import Checkpoint, RenderFingerprint
    from dubline.orchestration.domain.leases import Lease


class Leases:
    """Claims and writes of workers, and the rescue of expired leases.

    A write whose token is no longer valid raises LeaseLostError, changes nothing and is counted on the attempt: the job
    was rescued, cancelled, deleted or ended. The same happens when a final write is repeated that was executed although
    it raised DatabaseUnavailableError.

    Each write of a worker is one round trip, except `load_checkpoints`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._run = OneStatement(engine)
        #: Also of shares: a worker whose claim of a share was lost may claim a job next.
        self.unconfirmed = UnconfirmedClaims(self._release_claims)

    def claim(
        self,
        worker: str,
        lease_s: float,
        *,
        pool: str = DEFAULT_POOL,
        presets: Iterable[str] = PRESETS,
        held: Iterable[str] = (),
    ) -> Lease | None:
        """Claim the due job of some presets with the smallest order key; None if no job is due.

        A job whose upload was deleted fails with `upload_missing`, and the next job is claimed.

        Args:
            worker: name of the worker, for operators.
            lease_s: seconds until the lease expires unless it is renewed.
            pool: of the worker.
            presets: that the worker renders.
            held: networks on its device (`weights.held_name`), whose jobs are preferred.
        """
        self.unconfirmed.release()
        preferred = f" {' '.join(held)} "
        statement, name = claim_of(frozenset(presets)), worker.partition("/")[0]
        while True:
            token = uuid4()
            try:
                rows = self._run(
                    statement,
                    token=token,
                    worker=worker,
                    worker_name=name,
                    held=preferred,
                    pool=pool,
                    lease_s=lease_s,
                )
                if not rows:
                    return None
                lease = self._confirmed(rows, token, name)
            except DatabaseUnavailableError:
                # The claim may have been executed, or may still be. Then the job is released.
                self.unconfirmed.add(token)
                raise
            if lease is not None:
                return lease

    def renew(self, lease: Lease, lease_s: float) -> Lease:
        """Extend the lease to `lease_s` seconds from now. An expired lease is renewed unless the job was rescued.

        Raises:
            LeaseLostError: the token is not valid; the attempt must stop.
        """
        rows = self._run(fenced_statements.RENEW, job_id=lease.job_id, token=lease.token, lease_s=lease_s)
        if not rows:
            self._refuse(lease)
        with suppress(DatabaseUnavailableError):
            self.unconfirmed.release()
        return replace(lease, expires_at=rows[0].lease_expires_at)

    def progress(self, lease: Lease, stage: Stage, percent: float, gpu_s: float = 0.0) -> None:
        """Report the progress of an attempt.

        Args:
            lease: lease of the attempt.
            stage: its current step.
            percent: 0 to 100; other values are clamped.
            gpu_s: seconds of device time of this attempt so far; a smaller value than before is ignored.

        Raises:
            LeaseLostError: the token is not valid; the attempt must stop.
        """
        self._write(fenced_statements.PROGRESS, lease, gpu_s, stage=stage.value, percent=min(100.0, max(0.0, percent)))

    def load_checkpoints(self, lease: Lease, fingerprint: RenderFingerprint) -> tuple[Checkpoint, ...]:
        """Set the render fingerprint of the job, and read the checkpoints of earlier attempts that are valid for it.

        If the job already has another fingerprint, other weights or another renderer discard all its checkpoints, and
        any other difference discards the segments.

        Returns:
            The motion, if it is stored, then the segments in order; any of them may be missing.

        Raises:
            LeaseLostError: the token is not valid; the attempt must stop.
        """
        try:
            with transaction(self._engine) as session:
                return checkpoints.load(session, lease, fingerprint)
        except LeaseLostError:
            self._refuse(lease)

    def save_checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """Insert a checkpoint whose object is in the bucket. It replaces one of the same kind and number.

        Raises:
            LeaseLostError: the token is not valid; the attempt must stop.
        """
        values: dict[str, Any] = {
            "kind": checkpoint.kind.value,
            "number": checkpoint.number,
            "object_key": checkpoint.object_key,
            "size_bytes": checkpoint.size_bytes,
            "sha256": checkpoint.sha256,
        }
        if not self._run(fenced_statements.SAVE_CHECKPOINT, job_id=lease.job_id, token=lease.token, **values):
            self._refuse(lease)

    def finish(
        self, lease: Lease, size_bytes: int, duration_s: float, gpu_s: float = 0.0, *, sha256: str | None = None
    ) -> None:
        """End the attempt and the job as succeeded, with the video at `lease.result_key`.

        Args:
            lease: lease of the attempt.
            size_bytes: size of the video.
            duration_s: duration of the video.
            gpu_s: as for `progress`.
            sha256: hash of the video in 64 hexadecimal digits; None if it is not known.

        Raises:
            LeaseLostError: the token is not valid; nothing was written.
        """
        result = {
            "result_key": lease.result_key,
            "size_bytes": size_bytes,
            "duration_s": duration_s,
            "sha256": sha256,
        }
        self._write(fenced_statements.FINISH, lease, gpu_s, **result)

    def retry(  # noqa: PLR0913, PLR0917 - the fields of domain.retry.Retry
        self, lease: Lease, cause: Cause, code: str, detail: str, delay_s: float, gpu_s: float = 0.0
    ) -> None:
        """End the attempt; the job is due again in `delay_s` seconds, with its old order key.

        Raises:
            LeaseLostError: the token is not valid; nothing was written.
        """
        self._write(fenced_statements.RETRY, lease, gpu_s, delay_s=delay_s, **_error_columns(cause, code, detail))

    def fail(self, lease: Lease, cause: Cause, code: str, detail: str, gpu_s: float = 0.0) -> None:
        """End the attempt and the job as failed.

        Raises:
            LeaseLostError: the token is not valid; nothing was written.
        """
        self._write(fenced_statements.FAIL, lease, gpu_s, **_error_columns(cause, code, detail))

    def release(self, lease: Lease, gpu_s: float = 0.0) -> None:
        """Return the job to the queue because this worker shuts down. It is due at once; the attempt is not charged.

        Raises:
            LeaseLostError: the token is not valid; nothing was written.
        """
        self._write(fenced_statements.RELEASE, lease, gpu_s)

    def rescue_expired(self) -> int:
        """Rescue jobs whose lease expired: they are due at once, or fail if the budget is used up.

        Returns:
            Number of rescued jobs.
        """
        with transaction(self._engine) as session:
            return rescue.rescue_expired(session)

    def expire_deadlines(self) -> int:
        """Fail jobs that are past their deadline and not final.

        Returns:
            Number of failed jobs.
        """
        with transaction(self._engine) as session:
            return rescue.expire_deadlines(session)

    def _confirmed(self, rows: Sequence[Any], token: UUID, worker: str) -> Lease | None:
        """Return the lease of a claim; None if too many jobs of its tenant run, or if its upload was deleted."""
        if rows[0].running_limit is not None and release_excess(self._engine, rows[0].job_tenant, token, worker):
            return None
        lease = lease_of(rows, token)
        if lease is None:
            missing = UploadMissingError("An upload of this job was deleted. Send the file and the job again.")
            values = _error_columns(Cause.BAD_INPUT, missing.code, missing.detail)
            self._run(fenced_statements.FAIL, token=token, gpu_s=0.0, **values)
        return lease

    def _release_claims(self, tokens: list[UUID]) -> None:
        self._run(fenced_statements.RELEASE_MANY, tokens=tokens, gpu_s=0.0)
        self._run(END_MANY, tokens=tokens)

    def _write(self, statement: str, lease: Lease, gpu_s: float, **values: Any) -> None:
        if not self._run(statement, token=lease.token, gpu_s=gpu_s, **values):
            self._refuse(lease)

    def _refuse(self, lease: Lease) -> NoReturn:
        # The error must be raised even if the refusal cannot be counted.
        with suppress(DatabaseUnavailableError):
            self._run(fenced_statements.COUNT_REFUSED, token=lease.token)
        raise LeaseLostError


def _error_columns(cause: Cause, code: str, detail: str) -> dict[str, Any]:
    return {"cause": cause.value, "code": code, "detail": detail}
