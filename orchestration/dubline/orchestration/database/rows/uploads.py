"""Uploads: declared files, the facts found by the probe, and the lease of the prober."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, Integer, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from dubline.options.render import FACES_MOST
from dubline.orchestration.database.rows.base import Base, equivalent, one_of
from dubline.orchestration.database.rows.requested import Requested, one_row_for_each_key, request_checks
from dubline.orchestration.domain.consent import STATEMENT_MAX_CHARS, SUBJECT_MAX_CHARS
from dubline.orchestration.domain.uploads import UploadKind, UploadState

_WAITS: Final = "state = 'probing' AND lease_token IS NULL"
_NEW: Final = text(f"{_WAITS} AND probe_attempts = 0")
_AGAIN: Final = text(f"{_WAITS} AND probe_attempts > 0")


class UploadRow(Requested, Base):
    """One file of a tenant."""

    __tablename__ = "uploads"
    __table_args__ = (
        one_of("kind", UploadKind),
        one_of("state", UploadState),
        CheckConstraint("size_bytes > 0", name="size_bytes"),
        CheckConstraint("unused_s > 0", name="unused_s"),
        CheckConstraint("probe_losses BETWEEN 0 AND probe_attempts", name="probe_losses"),
        # The columns of a lease are set together, and only while the upload is probing.
        equivalent("lease", "lease_token IS NULL", "lease_expires_at IS NULL", "lease_worker IS NULL"),
        CheckConstraint("lease_token IS NULL OR state = 'probing'", name="leased"),
        equivalent("final", "state IN ('ready', 'rejected')", "finalized_at IS NOT NULL"),
        equivalent("rejected", "state = 'rejected'", "error_code IS NOT NULL", "error_detail IS NOT NULL"),
        equivalent("ready", "state = 'ready'", "media_type IS NOT NULL", "sha256 IS NOT NULL"),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
        equivalent(
            "portrait",
            "state = 'ready' AND kind = 'portrait'",
            "width_px IS NOT NULL",
            "height_px IS NOT NULL",
            "face_box IS NOT NULL",
        ),
        equivalent("speech", "state = 'ready' AND kind = 'speech'", "duration_s IS NOT NULL"),
        CheckConstraint("duration_s > 0", name="duration"),
        CheckConstraint("width_px > 0 AND height_px > 0", name="pixels"),
        CheckConstraint(
            "cardinality(face_box) = 4 AND face_box[1] < face_box[3] AND face_box[2] < face_box[4]",
            name="face_box",
        ),
        CheckConstraint(
            f"jsonb_typeof(faces) = 'array' AND jsonb_array_length(faces) BETWEEN 1 AND {FACES_MOST}", name="faces"
        ),
        *request_checks(),
        equivalent("consent", "consent_statement IS NULL", "consent_subject IS NULL", "consent_obtained_at IS NULL"),
        CheckConstraint("consent_statement IS NULL OR kind = 'portrait'", name="consent_kind"),
        CheckConstraint(
            f"char_length(consent_statement) BETWEEN 1 AND {STATEMENT_MAX_CHARS} "
            f"AND char_length(consent_subject) BETWEEN 1 AND {SUBJECT_MAX_CHARS}",
            name="consent_length",
        ),
        one_row_for_each_key("uploads"),
        Index("uploads_listed_by_kind", "tenant", "kind", "state", "created_at", "id"),
        Index(
            "uploads_hashed",
            *("tenant", "sha256", "kind", "state", "created_at", "id"),
            postgresql_where=text("sha256 IS NOT NULL"),
        ),
        Index(
            "uploads_claimable",
            "probe_after",
            "id",
            postgresql_where=text(_WAITS),
        ),
        Index(
            "uploads_unprobed",
            "order_key",
            "created_at",
            "id",
            postgresql_where=_NEW,
        ),
        Index(
            "uploads_reprobed",
            "probe_after",
            "created_at",
            "id",
            postgresql_where=_AGAIN,
        ),
        Index("uploads_review", "review_at", "id", postgresql_where=text("review_at IS NOT NULL")),
        Index("uploads_leased", "lease_expires_at", postgresql_where=text("lease_token IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"))
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=UploadState.PENDING.value)
    content_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    unused_s: Mapped[int] = mapped_column(server_default=text("604800"))
    """Seconds for which it is kept while no job names it."""
    unused_since: Mapped[datetime] = mapped_column(server_default=func.now())
    """Time from which no job names it, if none does."""
    delete_by: Mapped[datetime | None]
    """Earliest date by which batches that do not name it any more promised to delete it."""
    review_at: Mapped[datetime | None] = mapped_column(server_default=text("(now() + '7 days'::interval)"))
    """When retention looks at it next, not after the end of its life (`deletion.upload_life`). NULL: it has no end."""
    expire_at: Mapped[datetime | None]
    """Written by the previous version only; a trigger copies it to `review_at`."""
    order_key: Mapped[float] = mapped_column(server_default=text("0"))
    """Place in the queue of probes, set when it is completed (see `domain.fairness`)."""
    probe_after: Mapped[datetime] = mapped_column(server_default=func.now())
    """Earliest time at which it can be claimed."""
    probe_attempts: Mapped[int] = mapped_column(server_default=text("0"))
    probe_losses: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of probers whose lease expired."""
    lease_token: Mapped[UUID | None]
    lease_expires_at: Mapped[datetime | None]
    lease_worker: Mapped[str | None]
    finalized_at: Mapped[datetime | None]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    media_type: Mapped[str | None]
    sha256: Mapped[str | None]
    duration_s: Mapped[float | None]
    width_px: Mapped[int | None]
    height_px: Mapped[int | None]
    face_box: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    faces: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    """As `domain.faces` writes them; NULL: the prober was of a version that found one face."""
    consent_statement: Mapped[str | None]
    consent_subject: Mapped[str | None]
    consent_obtained_at: Mapped[datetime | None]
