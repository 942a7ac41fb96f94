"""Leases: the time-limited right to one attempt at one job. Every write is guarded by the attempt's token."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

from dubline.orchestration.database.store import checkpoints, fenced_statements, rescue
from dubline.orchestration.database.store.claim import CLAIM, lease_of
from dubline.orchestration.database.store.transaction import OneStatement, transaction
from dubline.orchestration.domain.errors import DatabaseUnavailableError, LeaseLostError, UploadMissingError
from dubline.orchestration.domain.jobs import Cause, Stage

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

    from dubline.orchestration.domain.checkpoints import Checkpoint, RenderFingerprint
    from dubline.orchestration.domain.leases import Lease


class Leases:
    """What workers ask for and report. Every method but `begin` and the last two is one round trip.

    A write whose token is no longer in force raises LeaseLostError, changes nothing and is counted on the attempt:
    the job was rescued, cancelled, deleted or ended. So is a repetition of a final write that raised
    DatabaseUnavailableError and was carried out all the same.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._run = OneStatement(engine)
        self._unconfirmed: set[UUID] = set()

    def claim(self, worker: str, lease_s: float) -> Lease | None:
        """Take the job that is next in the fair order for `lease_s` seconds; None where nothing is due.

        A job whose upload is gone fails with `upload_missing` and the next one is taken.

        Args:
            worker: name of the worker, for people.
            lease_s: seconds until the job may be rescued, unless renewed.
        """
        self._release_unconfirmed()
        while True:
            token = uuid4()
            try:
                rows = self._run(CLAIM, token=token, worker=worker, lease_s=lease_s)
            except DatabaseUnavailableError:
                # It may have been carried out, and then nobody works on that job.
                self._unconfirmed.add(token)
                raise
            if not rows:
                return None
            lease = lease_of(rows, token)
            if lease is not None:
                return lease
            gone = UploadMissingError("An upload of this job was deleted. Send the file and the job again.")
            self._run(
                fenced_statements.FAIL,
                token=token,
                gpu_s=0.0,
                **_error_columns(Cause.BAD_INPUT, gone.code, gone.detail),
            )

    def renew(self, lease: Lease, lease_s: float) -> Lease:
        """Keep the job for `lease_s` seconds from now. One past its time is renewed if nobody took the job.

        Raises:
            LeaseLostError: stop working on it.
        """
        rows = self._run(fenced_statements.RENEW, job_id=lease.job_id, token=lease.token, lease_s=lease_s)
        if not rows:
            self._refuse(lease)
        return replace(lease, expires_at=rows[0].lease_expires_at)

    def progress(self, lease: Lease, stage: Stage, percent: float, gpu_s: float = 0.0) -> None:
        """Say how far the attempt is.

        Args:
            lease: the attempt.
            stage: what it is doing.
            percent: 0 to 100; values outside are clamped.
            gpu_s: seconds that this attempt has held the device so far; less than before changes nothing.

        Raises:
            LeaseLostError: stop working on it.
        """
        self._write(fenced_statements.PROGRESS, lease, gpu_s, stage=stage.value, percent=min(100.0, max(0.0, percent)))

    def load_checkpoints(self, lease: Lease, fingerprint: RenderFingerprint) -> tuple[Checkpoint, ...]:
        """Say how this attempt renders, and learn what earlier attempts left that fits.

        A job that was rendered otherwise before is pinned anew: other weights forget all its checkpoints, any
        other difference its segments.

        Returns:
            The motion, where it is kept, then segments in order; any may be missing.

        Raises:
            LeaseLostError: stop working on it.
        """
        try:
            with transaction(self._engine) as session:
                return checkpoints.load(session, lease, fingerprint)
        except LeaseLostError:
            self._refuse(lease)

    def save_checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint whose object is in the bucket. One of the same kind and number gives way to it.

        Raises:
            LeaseLostError: it was not kept; stop working on the job.
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

    def finish(self, lease: Lease, size_bytes: int, duration_s: float, gpu_s: float = 0.0) -> None:
        """Publish the video at `lease.result_key` and delete the checkpoints.

        Args:
            lease: the attempt that made it.
            size_bytes: its length.
            duration_s: of the video.
            gpu_s: as for `progress`; so below.

        Raises:
            LeaseLostError: the result is not published.
        """
        result = {"result_key": lease.result_key, "size_bytes": size_bytes, "duration_s": duration_s}
        self._write(fenced_statements.FINISH, lease, gpu_s, **result)

    def retry(  # noqa: PLR0913, PLR0917 - a decision of retry.decide, spread out
        self, lease: Lease, cause: Cause, code: str, detail: str, delay_s: float, gpu_s: float = 0.0
    ) -> None:
        """End the attempt; the job is due again, at its old place in the queue, in `delay_s` seconds.

        Raises:
            LeaseLostError: nothing was written.
        """
        self._write(fenced_statements.RETRY, lease, gpu_s, delay_s=delay_s, **_error_columns(cause, code, detail))

    def fail(self, lease: Lease, cause: Cause, code: str, detail: str, gpu_s: float = 0.0) -> None:
        """End the attempt and the job, and forget the checkpoints.

        Raises:
            LeaseLostError: nothing was written.
        """
        self._write(fenced_statements.FAIL, lease, gpu_s, **_error_columns(cause, code, detail))

    def release(self, lease: Lease, gpu_s: float = 0.0) -> None:
        """Give the job back because this worker shuts down: due at once, and the attempt is not charged.

        Raises:
            LeaseLostError: nothing was written.
        """
        self._write(fenced_statements.RELEASE, lease, gpu_s)

    def rescue_expired(self) -> int:
        """Take jobs back from workers whose lease expired: due at once, or failed when out of attempts.

        Returns:
            How many were taken back.
        """
        with transaction(self._engine) as session:
            return rescue.rescue_expired(session)

    def expire_deadlines(self) -> int:
        """Fail jobs that are past their deadline and not final.

        Returns:
            How many.
        """
        with transaction(self._engine) as session:
            return rescue.expire_deadlines(session)

    def _write(self, statement: str, lease: Lease, gpu_s: float, **values: Any) -> None:
        if not self._run(statement, token=lease.token, gpu_s=gpu_s, **values):
            self._refuse(lease)

    def _refuse(self, lease: Lease) -> NoReturn:
        # The count may be lost, the refusal may not.
        with suppress(DatabaseUnavailableError):
            self._run(fenced_statements.COUNT_REFUSED, token=lease.token)
        raise LeaseLostError

    def _release_unconfirmed(self) -> None:
        if not self._unconfirmed:
            return
        tokens = list(self._unconfirmed)
        self._run(fenced_statements.RELEASE_MANY, tokens=tokens, gpu_s=0.0)
        self._unconfirmed.difference_update(tokens)


def _error_columns(cause: Cause, code: str, detail: str) -> dict[str, Any]:
    return {"cause": cause.value, "code": code, "detail": detail}
