"""Jobs of tenants, their insertion into the queue, and the depth of the queue."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, case, cast, column, func, insert, literal, null, select, text

from dubline.options.render import OPTIONS
from dubline.orchestration import tracing
from dubline.orchestration.database.rows import AttemptRow, JobRow, UploadRow
from dubline.orchestration.database.store import idempotency, listing
from dubline.orchestration.database.store.accounts import holdings
from dubline.orchestration.database.store.attempts import finalize
from dubline.orchestration.database.store.fairness import order_keys
from dubline.orchestration.database.store.listed_jobs import LISTED_COLUMNS, listed_job_of
from dubline.orchestration.database.store.outbox import COUNT_LIMIT, RENDER, notify
from dubline.orchestration.database.store.predictions import read_rates
from dubline.orchestration.database.store.records import attempt_of, job_of, upload_of
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.database.store.weights import pinned
from dubline.orchestration.domain.admission import Admission, admit, faults
from dubline.orchestration.domain.cost import CropSize
from dubline.orchestration.domain.errors import InvalidRequestError, NotFoundError, from_code
from dubline.orchestration.domain.fairness import Queue
from dubline.orchestration.domain.jobs import Attempt, Job, JobState, ListedJob, NewJob, QueueCounts
from dubline.orchestration.domain.quotas import UNLIMITED, TenantLimits, check_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from dubline.orchestration.domain.idempotency import Request
    from dubline.orchestration.domain.listing import JobFilter, Page, Window
    from dubline.orchestration.domain.uploads import Upload

#: Each part is a range of an index and is read no further than `COUNT_LIMIT`.
_COUNT_QUEUE: Final = text(f"""
SELECT claimable.*, delayed.*, running.* FROM (
    SELECT count(*) AS claimable, extract(epoch FROM now() - min(available_at)) AS oldest_s FROM (
        (
            SELECT available_at FROM jobs WHERE state = 'queued' AND available_at <= now()
            ORDER BY order_key LIMIT {COUNT_LIMIT}
        ) UNION ALL (
            SELECT available_at FROM jobs WHERE state = 'retrying' AND available_at <= now()
            ORDER BY available_at LIMIT {COUNT_LIMIT}
        )
    ) AS due
) AS claimable, (
    SELECT count(*) AS delayed FROM (
        SELECT FROM jobs WHERE state = 'retrying' AND available_at > now() ORDER BY available_at LIMIT {COUNT_LIMIT}
    ) AS paused
) AS delayed, (
    SELECT count(*) AS running FROM (SELECT FROM jobs WHERE state = 'running' LIMIT {COUNT_LIMIT}) AS leased
) AS running
""")  # noqa: S608 - our own text


class Jobs:
    """Single jobs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def insert(self, tenant: str, new: NewJob) -> Job:
        """Queue one job without an idempotency key.

        Raises:
            DublineError: as for `insert_once`.
        """
        return self.insert_once(tenant, new, None)[0]

    def insert_once(
        self, tenant: str, new: NewJob, request: Request | None, limits: TenantLimits = UNLIMITED
    ) -> tuple[Job, bool]:
        """Queue one job, or find the one that an earlier call with the same request has queued.

        Args:
            tenant: owner of the job.
            new: the job.
            request: idempotency key of the request; None: without one.
            limits: what the tenant may have queued.

        Returns:
            The job, and whether an earlier call has queued it.

        Raises:
            IdempotencyKeyReusedError: the key was used with another request.
            InvalidRequestError: a field is not valid.
            UploadNotReadyError: an upload is still being checked.
            QuotaExceededError: the tenant would have more queued than it may.
            DublineError: an upload is missing, of the wrong kind or rejected; nothing is inserted.
        """
        wrong = faults([new])
        if wrong:
            raise InvalidRequestError(str(wrong[0]["detail"]), wrong)
        return idempotency.once(
            JobRow,
            request,
            find=lambda: self._earlier(tenant, request),
            create=lambda: self._insert(tenant, new, request, limits),
        )

    def _earlier(self, tenant: str, request: Request | None) -> Job | None:
        with transaction(self._engine) as session:
            row = idempotency.earlier(session, JobRow, tenant, request)
            return None if row is None else job_of(row)

    def _insert(self, tenant: str, new: NewJob, request: Request | None, limits: TenantLimits) -> Job:
        with transaction(self._engine) as session:
            admission = admit(new, uploads_of(session, tenant, [new]))
            if admission.error_code is not None:
                raise from_code(admission.error_code, admission.error_detail)
            check_queue(session, tenant, [admission], limits)
            (job_id,) = queue(session, tenant, [admission], batch_id=None)
            idempotency.mark(session, JobRow, job_id, request)
            notify(session, RENDER, 1)
            return job_of(session.scalars(select(JobRow).where(JobRow.id == job_id)).one())

    def get(self, tenant: str, job_id: UUID) -> Job:
        """Read a job.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        with transaction(self._engine) as session:
            return job_of(_row(session, tenant, job_id))

    def find_result(self, tenant: str, sha256: str) -> Job | None:
        """Find the newest job of a tenant whose video has these bytes, also after the video was deleted."""
        with transaction(self._engine) as session:
            row = session.scalar(
                select(JobRow)
                .where(JobRow.tenant == tenant, JobRow.result_sha256 == sha256)
                .order_by(JobRow.created_at.desc())
                .limit(1)
            )
            return None if row is None else job_of(row)

    def page(self, tenant: str, which: JobFilter, window: Window) -> Page[ListedJob]:
        """Read a page of the jobs of a tenant, newest first."""
        with transaction(self._engine) as session:
            named = [] if which.custom_id is None else [JobRow.custom_id == which.custom_id]
            ranges = [(JobRow.state == state, *named) for state in which.states or JobState]
            found = listing.rows(session, JobRow, tenant, window, ranges, LISTED_COLUMNS)
            return listing.page_of(found, window, listed_job_of)

    def cancel(self, tenant: str, job_id: UUID) -> Job:
        """Cancel a job that is not final. The next write of a worker that processes it is refused.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        with transaction(self._engine) as session:
            row = _row(session, tenant, job_id, locked=True)
            if row.finalized_at is None:
                finalize.cancel(session, [job_id])
                session.refresh(row)
            return job_of(row)

    def attempts(self, tenant: str, job_id: UUID) -> tuple[Attempt, ...]:
        """Read the attempts at a job in order; empty if the tenant has no such job."""
        with transaction(self._engine) as session:
            rows = session.scalars(
                select(AttemptRow)
                .join(JobRow, JobRow.id == AttemptRow.job_id)
                .where(JobRow.id == job_id, JobRow.tenant == tenant)
                .order_by(AttemptRow.number)
            )
            return tuple(map(attempt_of, rows))

    def queued_counts(self) -> QueueCounts:
        """Count the waiting and running jobs of all tenants, up to `COUNT_LIMIT` in each state."""
        with transaction(self._engine) as session:
            counted = session.execute(_COUNT_QUEUE).one()
        return QueueCounts(
            claimable=counted.claimable,
            delayed=counted.delayed,
            running=counted.running,
            oldest_claimable_s=float(counted.oldest_s or 0.0),
        )

    def refund(self) -> int:
        """Move waiting jobs forward whose tenants' earlier jobs ended before they were claimed.

        Returns:
            Number of jobs that were looked at, at most `order_keys.MOVED_AT_ONCE` of each tenant.
        """
        with transaction(self._engine) as session:
            tenants = order_keys.refunded_tenants(session)
        count = 0
        for tenant in tenants:
            with transaction(self._engine) as session:
                count += order_keys.refund(session, tenant)
        return count


def _row(session: Session, tenant: str, job_id: UUID, *, locked: bool = False) -> JobRow:
    query = select(JobRow).where(JobRow.id == job_id, JobRow.tenant == tenant)
    row = session.scalar(query.with_for_update() if locked else query)
    if row is None:
        raise NotFoundError(f"There is no job {job_id}.")
    return row


def uploads_of(session: Session, tenant: str, rows: Sequence[NewJob]) -> dict[UUID, Upload]:
    """Read the uploads that new jobs refer to, of this tenant only."""
    ids = {row.portrait_upload_id for row in rows} | {row.speech_upload_id for row in rows}
    # One array parameter: a list of thousands of parameters is slow to compile and limited to 65,535.
    # Locked in order of id: a concurrent deletion waits, and then sees the jobs that use the uploads.
    found = session.scalars(
        select(UploadRow)
        .where(UploadRow.tenant == tenant, UploadRow.id == func.any(_array(UploadRow.id, list(ids))))
        .order_by(UploadRow.id)
        .with_for_update(read=True, key_share=True)
    )
    return {row.id: upload_of(row) for row in found}


def check_queue(session: Session, tenant: str, admissions: Sequence[Admission], limits: TenantLimits) -> None:
    """Check that a tenant may queue more jobs, until the transaction ends.

    Raises:
        QuotaExceededError: it would have more queued than it may.
    """
    if limits is UNLIMITED:
        return
    queued = [admission.speech_s for admission in admissions if admission.state is JobState.QUEUED]
    check_jobs(holdings.lock(session, tenant), len(queued), sum(queued), limits)


def queue(session: Session, tenant: str, admissions: Sequence[Admission], batch_id: UUID | None) -> list[UUID]:
    """Insert jobs with their order keys in one statement.

    Returns:
        Their ids, in the order of the admissions.
    """
    costs_s = _costs_s(session, admissions)
    keys = order_keys.assign(session, tenant, Queue.RENDER, [cost_s or 0.0 for cost_s in costs_s])
    at = session.scalars(select(func.now())).one()
    ids = [uuid4() for _ in admissions]
    versions = pinned(session)
    columns: dict[str, list[Any]] = {
        "id": ids,
        "order_key": keys,
        "cost_s": costs_s,
        "weights_sha256": [versions.get(admission.options.preset) for admission in admissions],
        **_columns(admissions, at),
    }
    _insert_all(session, tenant, batch_id, columns)
    return ids


def _costs_s(session: Session, admissions: Sequence[Admission]) -> list[float | None]:
    """Return the cost of each job in the fair queue, which never changes again; None for a job that failed."""
    predictor = read_rates(session)
    return [
        one.work_s and one.work_s * predictor.fair_factor(one.options.preset, one.crop_size or CropSize.MEDIUM)
        for one in admissions
    ]


def _columns(admissions: Sequence[Admission], at: datetime) -> dict[str, list[Any]]:
    jobs = [admission.job for admission in admissions]
    return {
        "position": list(range(len(jobs))),
        "state": [admission.state.value for admission in admissions],
        "work_s": [admission.work_s for admission in admissions],
        "crop_size": [admission.crop_size for admission in admissions],
        "speech_s": [admission.speech_s for admission in admissions],
        "error_code": [admission.error_code for admission in admissions],
        "error_detail": [admission.error_detail for admission in admissions],
        "portrait_upload_id": [admission.portrait and admission.portrait.id for admission in admissions],
        "speech_upload_id": [admission.speech and admission.speech.id for admission in admissions],
        **{one.column: [one.value_of(admission.options) for admission in admissions] for one in OPTIONS},
        "custom_id": [job.custom_id for job in jobs],
        "deadline_at": [None if job.deadline_s is None else at + timedelta(seconds=job.deadline_s) for job in jobs],
    }


def _insert_all(session: Session, tenant: str, batch_id: UUID | None, columns: dict[str, list[Any]]) -> None:
    # One array parameter per column, unnested by the server, so 10,000 rows are one statement.
    table = JobRow.__table__
    arrays = [_array(table.c[name], values) for name, values in columns.items()]
    new = func.unnest(*arrays).table_valued(*(column(name, table.c[name].type) for name in columns)).render_derived()
    chosen: dict[str, Any] = {name: new.c[name] for name in columns}
    chosen["tenant"] = literal(tenant)
    chosen["traceparent"] = literal(tracing.traceparent(), JobRow.traceparent.type)
    if batch_id is None:
        chosen["position"] = null()
    else:
        chosen["batch_id"] = literal(batch_id)
    failed = new.c.state == JobState.FAILED.value
    chosen["finalized_at"] = case((failed, func.now()))
    session.execute(insert(JobRow).from_select(list(chosen), select(*chosen.values()), include_defaults=False))


def _array(like: Any, values: list[Any]) -> Any:
    return cast(literal(values, ARRAY(like.type)), ARRAY(like.type))
