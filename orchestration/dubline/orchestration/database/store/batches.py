"""Batches: many jobs accepted in one transaction, once per idempotency key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from sqlalchemy import func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from dubline.orchestration.database.rows import BatchRow, JobRow
from dubline.orchestration.database.store import listing
from dubline.orchestration.database.store.attempts import finalize
from dubline.orchestration.database.store.jobs import check_queue, queue, uploads_of
from dubline.orchestration.database.store.listed_jobs import LISTED, listed_job_of
from dubline.orchestration.database.store.outbox import RENDER, notify
from dubline.orchestration.database.store.transaction import OneStatement, transaction
from dubline.orchestration.domain.admission import admit, faults
from dubline.orchestration.domain.batches import Batch, BatchSummary, JobPage, Retention
from dubline.orchestration.domain.errors import IdempotencyKeyReusedError, InvalidBatchError, NotFoundError
from dubline.orchestration.domain.jobs import FINAL, JobState, NewJob
from dubline.orchestration.domain.quotas import UNLIMITED, TenantLimits

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from dubline.orchestration.domain.listing import BatchFilter, Page, Window

#: A page of the jobs of a batch, and one more; without a job one row without them, without the batch no row. Every
#: transaction with a smaller id than `changed_until` has ended, so its changes are visible to this statement.
_PAGE: Final = f"""
SELECT page.*, CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS changed_until
FROM batches LEFT JOIN LATERAL (
    SELECT position, {LISTED} FROM jobs
    WHERE batch_id = %(batch)s AND tenant = %(tenant)s AND position > %(after)s {{states}} {{changed}}
    ORDER BY position LIMIT %(rows)s
) AS page ON true
WHERE batches.id = %(batch)s AND batches.tenant = %(tenant)s
ORDER BY page.position
"""  # noqa: S608 - our own text
#: A restored copy of the database counts transactions anew. A value from before is then larger, and every job is
#: returned. The ids that the copied rows have from before are not those of changes.
_CHANGED: Final = """AND (
    CAST(%(changed_since)s AS xid8) > pg_snapshot_xmin(pg_current_snapshot())
    OR changed_xid >= CAST(%(changed_since)s AS xid8) AND changed_xid < pg_snapshot_xmax(pg_current_snapshot())
)"""
#: Files are kept until they are deleted.
KEPT: Final = Retention()


class Batches:
    """Batches of jobs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._run = OneStatement(engine)

    def insert(  # noqa: PLR0913, PLR0917 - the parts of a request
        self,
        tenant: str,
        rows: Sequence[NewJob],
        idempotency_key: str | None,
        request_sha256: str,
        retention: Retention = KEPT,
        limits: TenantLimits = UNLIMITED,
    ) -> tuple[Batch, bool]:
        """Accept all rows of a batch, or none.

        A row whose upload is missing, of the wrong kind or rejected becomes a failed job; the other rows are queued.

        Args:
            tenant: owner of the batch.
            rows: the jobs, at least one.
            idempotency_key: 1 to 255 characters chosen by the sender, or None.
            request_sha256: hexadecimal hash of the request, compared with that of an earlier request with the same key.
            retention: retention periods of this batch; they apply where they are shorter than the tenant's.
            limits: what the tenant may have queued.

        Returns:
            The batch, and whether an earlier call with the same key and request has already created it.

        Raises:
            InvalidBatchError: rows are invalid; nothing was inserted.
            UploadNotReadyError: an upload is still being checked; nothing was inserted.
            QuotaExceededError: the tenant would have more queued than it may; nothing was inserted.
            IdempotencyKeyReusedError: the key was used with another request.
        """
        wrong = faults(rows)
        if wrong or not rows:
            raise InvalidBatchError(None if rows else "The batch has no rows. Send at least one.", wrong)
        with transaction(self._engine) as session:
            values = {
                "tenant": tenant,
                "row_count": len(rows),
                "inputs_s": retention.inputs_s,
                "results_s": retention.results_s,
                "idempotency_key": idempotency_key,
                "request_sha256": None if idempotency_key is None else request_sha256,
            }
            while (batch_id := _insert_batch(session, values)) is None:
                replayed = _replayed(session, tenant, idempotency_key, request_sha256)
                # None: the batch was deleted in between, so the key can be used.
                if replayed is not None:
                    return replayed, True
            uploads = uploads_of(session, tenant, rows)
            admissions = [admit(row, uploads) for row in rows]
            check_queue(session, tenant, admissions, limits)
            queue(session, tenant, admissions, batch_id)
            finalize.record_admission(session, batch_id)
            notify(session, RENDER, sum(admission.state is JobState.QUEUED for admission in admissions))
            return _read(session, tenant, batch_id), False

    def get(self, tenant: str, batch_id: UUID) -> Batch:
        """Read a batch with its counts.

        Raises:
            NotFoundError: the tenant has no such batch.
        """
        with transaction(self._engine) as session:
            return _read(session, tenant, batch_id)

    def page(self, tenant: str, which: BatchFilter, window: Window) -> Page[BatchSummary]:
        """Read a page of the batches of a tenant, newest first, without counting their jobs."""
        keyed = [] if which.idempotency_key is None else [BatchRow.idempotency_key == which.idempotency_key]
        ranges = [[*keyed, *where] for where in _by_end(which.finished)]
        with transaction(self._engine) as session:
            found = listing.rows(session, BatchRow, tenant, window, ranges)
            counted = select(BatchRow.id, _open_count().label("open_jobs")).where(
                BatchRow.id.in_([row.id for row in found])
            )
            counts = {row.id: row.open_jobs for row in session.execute(counted)}
            return listing.page_of(found, window, lambda row: _summary(row, counts[row.id]))

    def cancel(self, tenant: str, batch_id: UUID) -> Batch:
        """Cancel the jobs of a batch that are not final.

        Raises:
            NotFoundError: the tenant has no such batch.
        """
        with transaction(self._engine) as session:
            _row(session, tenant, batch_id)
            # Locked in order of id, so that two calls cannot deadlock.
            unfinished = select(JobRow.id).where(
                JobRow.tenant == tenant, JobRow.batch_id == batch_id, JobRow.finalized_at.is_(None)
            )
            finalize.cancel(session, session.scalars(unfinished.order_by(JobRow.id).with_for_update()).all())
            return _read(session, tenant, batch_id)

    def jobs(  # noqa: PLR0913, PLR0917 - the parameters of a page
        self,
        tenant: str,
        batch_id: UUID,
        after: int | None,
        limit: int,
        states: Collection[JobState] = (),
        changed_since: int | None = None,
    ) -> JobPage:
        """Read one page of the jobs of a batch, in the order of its rows.

        Args:
            tenant: owner of the batch.
            batch_id: the batch.
            after: `next_after` of the previous page; None for the first page.
            limit: maximum number of jobs on the page, at least 1.
            states: states of the jobs on the page; empty: any state.
            changed_since: `changed_until` of an earlier page: only jobs that changed since it was read.

        Raises:
            NotFoundError: the tenant has no such batch.
        """
        statement = _PAGE.format(
            states="AND state = ANY(%(states)s)" if states else "",
            changed=_CHANGED if changed_since is not None else "",
        )
        rows = self._run(
            statement,
            tenant=tenant,
            batch=batch_id,
            after=-1 if after is None else after,
            states=[state.value for state in states],
            changed_since=str(changed_since),
            rows=limit + 1,
        )
        if not rows:
            raise NotFoundError(f"There is no batch {batch_id}.")
        jobs = rows[:limit] if rows[0].id is not None else []
        return JobPage(
            jobs=tuple(map(listed_job_of, jobs)),
            next_after=jobs[-1].position if len(rows) > limit else None,
            changed_until=rows[0].changed_until,
        )


def _insert_batch(session: Session, values: Mapping[str, Any]) -> UUID | None:
    """Insert a batch and return its id; None if its idempotency key is in use."""
    # Of two concurrent calls with the same key, the second waits here until the first commits.
    return session.scalar(
        insert(BatchRow)
        .values(id=uuid4(), **values)
        .on_conflict_do_nothing(constraint="batches_idempotency_key")
        .returning(BatchRow.id)
    )


def _replayed(session: Session, tenant: str, idempotency_key: str | None, request_sha256: str) -> Batch | None:
    # Locked, so that a concurrent deletion waits until the batch has been read.
    earlier = session.scalar(
        select(BatchRow)
        .where(BatchRow.tenant == tenant, BatchRow.idempotency_key == idempotency_key)
        .with_for_update(read=True, key_share=True)
    )
    if earlier is None:
        return None
    if earlier.request_sha256 != request_sha256:
        raise IdempotencyKeyReusedError
    return _read(session, tenant, earlier.id)


def _row(session: Session, tenant: str, batch_id: UUID) -> BatchRow:
    row = session.scalar(select(BatchRow).where(BatchRow.id == batch_id, BatchRow.tenant == tenant))
    if row is None:
        raise NotFoundError(f"There is no batch {batch_id}.")
    return row


def _by_end(finished: bool | None) -> list[list[Any]]:
    """Return the ranges of finished or unfinished batches in the index of the expression `open_count = 0`."""
    if finished is None:
        return [[]]
    # The literal is part of the index; with a parameter, a plan for all values could not use it.
    counted = BatchRow.open_count == literal_column("0")
    uncounted = [counted.is_(None), (_open_count() == 0) == finished]
    return [[counted.is_(finished)], uncounted]


def _open_count() -> Any:
    """Return the number of jobs that are not final; it is counted for a batch of a version that did not store it."""
    counted = select(func.count()).where(JobRow.batch_id == BatchRow.id, JobRow.finalized_at.is_(None))
    return func.coalesce(BatchRow.open_count, counted.correlate(BatchRow).scalar_subquery())


def _summary(row: BatchRow, open_count: int) -> BatchSummary:
    return BatchSummary(
        id=row.id,
        row_count=row.row_count,
        open_count=open_count,
        retention=Retention(inputs_s=row.inputs_s, results_s=row.results_s),
        created_at=row.created_at,
    )


def _read(session: Session, tenant: str, batch_id: UUID) -> Batch:
    row = _row(session, tenant, batch_id)
    of_batch = (JobRow.tenant == tenant, JobRow.batch_id == batch_id)
    progress = select(func.sum(JobRow.progress_percent)).where(*of_batch, JobRow.state == JobState.RUNNING)
    # Read from the index `jobs_counted` alone where rows have not changed lately. Jobs that wait have no progress.
    counted = session.execute(
        select(JobRow.state, func.count(), progress.correlate(None).scalar_subquery())
        .where(*of_batch)
        .group_by(JobRow.state)
    ).all()
    counts = dict.fromkeys(JobState, 0) | {JobState(state): count for state, count, _ in counted}
    percent = 100.0 * sum(counts[state] for state in FINAL) + float((counted and counted[0][2]) or 0)
    return Batch(
        id=row.id,
        tenant=row.tenant,
        row_count=row.row_count,
        created_at=row.created_at,
        retention=Retention(inputs_s=row.inputs_s, results_s=row.results_s),
        counts=counts,
        # A batch whose jobs were all deleted is finished.
        progress_percent=percent / row.row_count if row.row_count else 100.0,
    )
