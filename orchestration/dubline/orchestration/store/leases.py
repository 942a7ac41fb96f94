"""Leases: the time-limited right to one attempt at one job. Every write is guarded by the attempt's token."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import func, select, update
from sqlalchemy.orm import aliased

from dubline.orchestration.errors import LeaseLostError, WorkerLostError
from dubline.orchestration.jobs import CLAIMABLE, Cause, JobState, Lease, Outcome, Stage
from dubline.orchestration.retry import Fail, decide
from dubline.orchestration.rows import AttemptRow, JobRow, UploadRow
from dubline.orchestration.store.records import upload_of
from dubline.orchestration.store.transaction import transaction

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

RESCUE_LIMIT = 1000
"""Most jobs rescued in one transaction; the next turn takes the rest."""

_UNLEASED: dict[str, Any] = {
    "lease_token": None,
    "lease_expires_at": None,
    "lease_worker": None,
    "stage": None,
}


class Leases:
    """What workers ask for and report."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, worker: str, lease_s: float) -> Lease | None:
        """Take the job that is next in the fair order for ``lease_s`` seconds; None where nothing is due.

        Args:
            worker: name of the worker, for people.
            lease_s: seconds until the job may be rescued, unless renewed.
        """
        waiting = aliased(JobRow)
        best = (
            select(waiting.id)
            .where(waiting.state.in_(CLAIMABLE), waiting.available_at <= func.now())
            .order_by(waiting.order_key, waiting.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        token = uuid4()
        with transaction(self._engine) as session:
            row = session.scalar(
                update(JobRow)
                .where(JobRow.id == best)
                .values(
                    state=JobState.RUNNING,
                    stage=Stage.PREPARING,
                    progress_percent=0,
                    attempt_count=JobRow.attempt_count + 1,
                    started_at=func.coalesce(JobRow.started_at, func.now()),
                    lease_token=token,
                    lease_expires_at=func.now() + timedelta(seconds=lease_s),
                    lease_worker=worker,
                )
                .returning(JobRow)
            )
            if row is None:
                return None
            session.add(AttemptRow(job_id=row.id, number=row.attempt_count, token=token, worker=worker))
            return _lease(session, row)

    def renew(self, lease: Lease, lease_s: float) -> Lease:
        """Keep the job for ``lease_s`` seconds from now. One past its time is renewed if nobody took the job.

        Raises:
            LeaseLostError: the job was rescued; stop working on it.
        """
        with transaction(self._engine) as session:
            row = _write(session, lease, {"lease_expires_at": func.now() + timedelta(seconds=lease_s)})
            return replace(lease, expires_at=row.lease_expires_at or lease.expires_at)

    def progress(self, lease: Lease, stage: Stage, percent: float) -> None:
        """Say how far the attempt is (0 to 100; values outside are clamped).

        Raises:
            LeaseLostError: the job was rescued; stop working on it.
        """
        with transaction(self._engine) as session:
            _write(session, lease, {"stage": stage, "progress_percent": min(100.0, max(0.0, percent))})

    def finish(
        self,
        lease: Lease,
        result_key: str,
        size_bytes: int,
        duration_s: float,
        weights_sha256: str | None = None,
    ) -> None:
        """Publish the result.

        Args:
            lease: the attempt that made it.
            result_key: where it lies in the bucket, ``lease.result_key``.
            size_bytes: its length.
            duration_s: of the video.
            weights_sha256: of the networks that made it.

        Raises:
            LeaseLostError: the job was rescued; the result is not published.
        """
        published = {
            "state": JobState.SUCCEEDED,
            "finalized_at": func.now(),
            "progress_percent": 100,
            "result_key": result_key,
            "result_size_bytes": size_bytes,
            "result_duration_s": duration_s,
            "weights_sha256": weights_sha256,
        }
        with transaction(self._engine) as session:
            _write(session, lease, published | _UNLEASED)
            _end(session, lease, Outcome.SUCCEEDED)

    def retry(self, lease: Lease, cause: Cause, code: str, detail: str, delay_s: float) -> None:
        """End the attempt; the job is due again, at its old place in the queue, in ``delay_s`` seconds.

        Raises:
            LeaseLostError: the job was rescued; nothing was written.
        """
        waiting = {
            "state": JobState.RETRYING,
            "available_at": func.now() + timedelta(seconds=delay_s),
            "progress_percent": 0,
        }
        with transaction(self._engine) as session:
            _write(session, lease, waiting | _UNLEASED)
            _end(session, lease, Outcome.RETRIED, cause, code, detail)

    def fail(self, lease: Lease, cause: Cause, code: str, detail: str) -> None:
        """End the attempt and the job.

        Raises:
            LeaseLostError: the job was rescued; nothing was written.
        """
        with transaction(self._engine) as session:
            _write(session, lease, _failed(code, detail) | _UNLEASED)
            _end(session, lease, Outcome.FAILED, cause, code, detail)

    def release(self, lease: Lease) -> None:
        """Give the job back because this worker shuts down: due at once, and the attempt is not charged.

        Raises:
            LeaseLostError: the job was rescued; nothing was written.
        """
        waiting = {
            "state": JobState.QUEUED,
            "available_at": func.now(),
            "progress_percent": 0,
        }
        with transaction(self._engine) as session:
            _write(session, lease, waiting | _UNLEASED)
            _end(session, lease, Outcome.RELEASED, Cause.SHUTDOWN)

    def rescue_expired(self) -> int:
        """Take jobs back from workers whose lease expired: due at once, or failed when out of attempts.

        Returns:
            How many were taken back.
        """
        with transaction(self._engine) as session:
            lost = session.scalars(
                select(JobRow)
                .where(JobRow.state == JobState.RUNNING, JobRow.lease_expires_at < func.now())
                .limit(RESCUE_LIMIT)
                .with_for_update(skip_locked=True)
            ).all()
            for row in lost:
                _rescue(session, row)
            return len(lost)


def _lease(session: Session, row: JobRow) -> Lease:
    named = select(UploadRow).where(UploadRow.id.in_([row.portrait_upload_id, row.speech_upload_id]))
    uploads = {upload.id: upload_of(upload) for upload in session.scalars(named)}
    if row.lease_token is None or row.lease_expires_at is None:
        raise LeaseLostError
    return Lease(
        job_id=row.id,
        tenant=row.tenant,
        attempt=row.attempt_count,
        charged=_charged(session, row.id),
        token=row.lease_token,
        expires_at=row.lease_expires_at,
        portrait=uploads[row.portrait_upload_id],
        speech=uploads[row.speech_upload_id],
        preset=row.preset,
        seed=row.seed,
    )


def _charged(session: Session, job_id: UUID) -> dict[Cause, int]:
    # A retried attempt is a charged one; a released one is not, and the others end the job.
    counted = (
        select(AttemptRow.cause, func.count())
        .where(AttemptRow.job_id == job_id, AttemptRow.outcome == Outcome.RETRIED)
        .group_by(AttemptRow.cause)
    )
    return {Cause(cause): count for cause, count in session.execute(counted) if cause}


def _write(session: Session, lease: Lease, values: dict[str, Any]) -> JobRow:
    # The token is new with every claim, so holding it is proof that nobody claimed the job since.
    row: JobRow | None = session.scalar(
        update(JobRow)
        .where(JobRow.id == lease.job_id, JobRow.lease_token == lease.token)
        .values(values)
        .returning(JobRow)
    )
    if row is None:
        raise LeaseLostError
    return row


def _end(  # noqa: PLR0913, PLR0917 - the columns of an ended attempt
    session: Session,
    lease: Lease,
    outcome: Outcome,
    cause: Cause | None = None,
    code: str | None = None,
    detail: str | None = None,
) -> None:
    session.execute(
        update(AttemptRow)
        .where(AttemptRow.job_id == lease.job_id, AttemptRow.number == lease.attempt)
        .values(ended_at=func.now(), outcome=outcome, cause=cause, error_code=code, error_detail=detail)
    )


def _failed(code: str, detail: str) -> dict[str, Any]:
    return {"state": JobState.FAILED, "finalized_at": func.now(), "error_code": code, "error_detail": detail}


def _rescue(session: Session, row: JobRow) -> None:
    error = WorkerLostError()
    decision = decide(error, _charged(session, row.id))
    spent = isinstance(decision, Fail)
    values: dict[str, Any] = {"state": JobState.RETRYING, "available_at": func.now(), "progress_percent": 0}
    if spent:
        values = _failed(decision.code, decision.detail)
    session.execute(update(JobRow).where(JobRow.id == row.id).values(values | _UNLEASED))
    session.execute(
        update(AttemptRow)
        .where(AttemptRow.job_id == row.id, AttemptRow.ended_at.is_(None))
        .values(
            ended_at=func.now(),
            outcome=Outcome.FAILED if spent else Outcome.RETRIED,
            cause=decision.cause,
            error_code=error.code,
            error_detail=error.detail,
        )
    )
