"""Jobs and their attempts. The CHECKs define which columns each state requires and forbids."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dubline.options.render import OPTIONS
from dubline.orchestration.database.rows.base import Base, TransactionId, bounded, equivalent, one_of, sql_list
from dubline.orchestration.database.rows.requested import Requested, one_row_for_each_key, request_checks
from dubline.orchestration.domain.cost import CropSize
from dubline.orchestration.domain.jobs import (
    CLAIMABLE,
    CUSTOM_ID_MAX_CHARS,
    FINAL,
    Cause,
    JobState,
    Outcome,
    Stage,
)
from dubline.orchestration.domain.pools import DEFAULT_POOL

_CLAIMABLE: Final = text(f"state IN ({sql_list(CLAIMABLE)})")
_QUEUED: Final = text("state = 'queued'")
_RETRYING: Final = text("state = 'retrying'")


class JobRow(Requested, Base):
    """One job. Triggers remove the ids of uploads that its tenant does not have; those of deleted uploads stay."""

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("state", JobState),
        one_of("stage", Stage),
        equivalent(
            "running",
            "state = 'running'",
            "lease_token IS NOT NULL",
            "lease_expires_at IS NOT NULL",
            "lease_worker IS NOT NULL",
            "stage IS NOT NULL",
        ),
        equivalent("final", f"state IN ({sql_list(FINAL)})", "finalized_at IS NOT NULL"),
        equivalent(
            "succeeded",
            "state = 'succeeded'",
            "result_key IS NOT NULL",
            "result_size_bytes IS NOT NULL",
            "result_duration_s IS NOT NULL",
        ),
        equivalent("failed", "state = 'failed'", "error_code IS NOT NULL", "error_detail IS NOT NULL"),
        CheckConstraint(
            "state = 'succeeded' OR (results_expire_at IS NULL AND result_deleted_at IS NULL)", name="retained"
        ),
        # Rows that are older than the other three columns have weights only.
        equivalent("pinned", "render_batch IS NULL", "segment_frames IS NULL", "encoder_threads IS NULL"),
        CheckConstraint("render_batch IS NULL OR weights_sha256 IS NOT NULL", name="weighed"),
        CheckConstraint(
            "state = 'failed' OR portrait_upload_id IS NOT NULL AND speech_upload_id IS NOT NULL", name="named"
        ),
        CheckConstraint("gpu_s >= 0", name="gpu"),
        CheckConstraint("state <> 'succeeded' OR progress_percent = 100", name="complete"),
        CheckConstraint("progress_percent BETWEEN 0 AND 100", name="progress"),
        equivalent("started", "attempt_count > 0", "started_at IS NOT NULL"),
        CheckConstraint("attempt_count > 0 OR state NOT IN ('running', 'retrying', 'succeeded')", name="attempted"),
        equivalent("batch", "batch_id IS NULL", "position IS NULL"),
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint(f"char_length(custom_id) BETWEEN 1 AND {CUSTOM_ID_MAX_CHARS}", name="custom_id"),
        CheckConstraint("speech_s >= 0", name="speech"),
        CheckConstraint("cost_s > 0", name="cost"),
        CheckConstraint("work_s > 0", name="work"),
        one_of("crop_size", CropSize),
        *bounded(OPTIONS),
        *request_checks(),
        CheckConstraint("result_sha256 ~ '^[0-9a-f]{64}$'", name="result_sha256"),
        UniqueConstraint("batch_id", "position", name="jobs_batch_position"),
        UniqueConstraint("batch_id", "custom_id", name="jobs_batch_custom_id"),
        one_row_for_each_key("jobs"),
        # Retention reads the batches that name an upload from these indexes alone.
        Index("jobs_portrait_upload", "portrait_upload_id", "batch_id"),
        Index("jobs_speech_upload", "speech_upload_id", "batch_id"),
        Index("jobs_listed", "tenant", "state", "created_at", "id"),
        Index("jobs_counted", "batch_id", "tenant", "state"),
        Index(
            "jobs_named",
            *("tenant", "custom_id", "state", "created_at", "id"),
            postgresql_where=text("custom_id IS NOT NULL"),
        ),
        # Open jobs of an upload, of which many jobs may have ended. For the order see `deletion.removal`.
        Index("jobs_open_portrait", "portrait_upload_id", "created_at", postgresql_where=text("finalized_at IS NULL")),
        Index("jobs_open_speech", "speech_upload_id", "created_at", postgresql_where=text("finalized_at IS NULL")),
        Index("jobs_result_sha256", "tenant", "result_sha256", postgresql_where=text("result_sha256 IS NOT NULL")),
        # Counts read the first queued jobs, and the retried ones whose pause is over; refunds those of a tenant.
        Index("jobs_queued", "order_key", "created_at", "id", postgresql_where=_QUEUED),
        Index("jobs_queued_by_tenant", "tenant", "order_key", postgresql_where=_QUEUED),
        Index("jobs_retrying", "available_at", "created_at", "id", postgresql_where=_RETRYING),
        Index("jobs_retrying_by_tenant", "tenant", "available_at", postgresql_where=_RETRYING),
        # A worker claims jobs of its presets only.
        Index("jobs_queued_by_preset", "preset", "order_key", "created_at", "id", postgresql_where=_QUEUED),
        Index("jobs_queued_by_tenant_and_preset", "tenant", "preset", "order_key", postgresql_where=_QUEUED),
        Index("jobs_retrying_by_preset", "preset", "available_at", "created_at", "id", postgresql_where=_RETRYING),
        Index("jobs_retrying_by_tenant_and_preset", "tenant", "preset", "available_at", postgresql_where=_RETRYING),
        # Claims of the previous versions read `jobs_claimable` and `jobs_retrying_by_tenant`, inserts `jobs_clock`.
        Index("jobs_claimable", "order_key", "id", postgresql_where=_CLAIMABLE),
        Index("jobs_clock", "order_key", postgresql_where=text("attempt_count > 0")),
        Index("jobs_leased", "lease_expires_at", postgresql_where=text("state = 'running'")),
        Index(
            "jobs_deadline", "deadline_at", postgresql_where=text("deadline_at IS NOT NULL AND finalized_at IS NULL")
        ),
        Index(
            "jobs_results_expire",
            "results_expire_at",
            postgresql_where=text("results_expire_at IS NOT NULL AND result_deleted_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("batches.id"))
    position: Mapped[int | None]
    custom_id: Mapped[str | None]
    portrait_upload_id: Mapped[UUID | None]
    speech_upload_id: Mapped[UUID | None]
    speech_s: Mapped[float]
    preset: Mapped[str]
    weights_sha256: Mapped[str | None]
    render_batch: Mapped[int | None]
    segment_frames: Mapped[int | None]
    encoder_threads: Mapped[int | None]
    renderer_sha256: Mapped[str | None]
    """NULL: no attempt has begun to render, or the last one was of a version that did not store it."""
    shared_segments: Mapped[int | None]
    """Number of its segments, if several workers may render them."""
    seed: Mapped[int] = mapped_column(BigInteger)
    face_index: Mapped[int | None]
    expression: Mapped[float] = mapped_column(server_default=text("1"))
    head_motion: Mapped[float] = mapped_column(server_default=text("1"))
    blink: Mapped[float] = mapped_column(server_default=text("1"))
    shut_in_silence: Mapped[float] = mapped_column(server_default=text("1"))
    output_height_px: Mapped[int | None]
    state: Mapped[str]
    order_key: Mapped[float]
    """Place in the queue; smaller ones are claimed first (see `domain.fairness`)."""
    cost_s: Mapped[float | None]
    """Cost in the fair queue, fixed at acceptance; NULL: accepted by a version that took `speech_s`."""
    work_s: Mapped[float | None]
    """Work (see `domain.cost`), from which times are predicted; NULL: accepted by a version that took `cost_s`."""
    crop_size: Mapped[str | None]
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Earliest time at which it can be claimed."""
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    stage: Mapped[str | None]
    progress_percent: Mapped[float] = mapped_column(server_default=text("0"))
    gpu_s: Mapped[float] = mapped_column(server_default=text("0"))
    """Seconds of device time, summed over its attempts."""
    lease_token: Mapped[UUID | None]
    lease_expires_at: Mapped[datetime | None]
    lease_worker: Mapped[str | None]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    result_key: Mapped[str | None]
    result_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    result_duration_s: Mapped[float | None]
    result_sha256: Mapped[str | None]
    """NULL: the video was rendered by a worker that did not store the hash."""
    results_expire_at: Mapped[datetime | None]
    result_deleted_at: Mapped[datetime | None]
    traceparent: Mapped[str | None]
    """Span of the request that inserted it (see `tracing`); NULL without tracing."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deadline_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finalized_at: Mapped[datetime | None]
    changed_xid: Mapped[int | None] = mapped_column(TransactionId, server_default=text("pg_current_xact_id()"))
    """Transaction that last changed what a sender sees of it, set by a trigger; NULL: not since the column exists."""


class AttemptRow(Base):
    """One attempt at a job."""

    __tablename__ = "attempts"
    __table_args__ = (
        one_of("outcome", Outcome),
        one_of("cause", Cause),
        CheckConstraint("number >= 1", name="number"),
        equivalent("ended", "ended_at IS NULL", "outcome IS NULL"),
        # An attempt has no cause while it is open and when it succeeded.
        CheckConstraint("(outcome IS NULL OR outcome = 'succeeded') = (cause IS NULL)", name="caused"),
        equivalent("error", "error_code IS NULL", "error_detail IS NULL"),
        CheckConstraint("error_code IS NULL OR outcome IN ('retried', 'failed')", name="blamed"),
        CheckConstraint(
            "(outcome IS NOT DISTINCT FROM 'cancelled') = (cause IS NOT DISTINCT FROM 'cancelled')", name="cancelled"
        ),
        CheckConstraint("gpu_s >= 0", name="gpu"),
        CheckConstraint("refused_writes >= 0", name="refused_writes"),
        # A job has at most one open attempt.
        Index("attempts_open", "job_id", unique=True, postgresql_where=text("ended_at IS NULL")),
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[UUID] = mapped_column(unique=True)
    worker: Mapped[str]
    pool: Mapped[str] = mapped_column(server_default=text(f"'{DEFAULT_POOL}'"))
    """Pool of the worker."""
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    cause: Mapped[str | None]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    gpu_s: Mapped[float] = mapped_column(server_default=text("0"))
    refused_writes: Mapped[int] = mapped_column(server_default=text("0"))
    kept: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether it stored a checkpoint, that is, whether it made progress."""
    checks_renderer: Mapped[bool] = mapped_column(server_default=text("false"))
    """False: its worker does not compare versions of the renderer, so a trigger takes it the checkpoints of others."""
