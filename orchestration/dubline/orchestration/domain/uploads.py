"""Uploads: states, facts found by the probe, and the lease of a prober."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.object_keys import upload_key

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from dubline.orchestration.domain.consent import Consent


#: Number of lost probers after which an upload is rejected; transient failures are not counted.
LOSS_BUDGET: Final = 3
#: Default seconds for which an upload is kept while no job names it.
UNUSED_S: Final = 7 * 86_400


class UploadKind(StrEnum):
    """Role of the file in a job."""

    PORTRAIT = "portrait"
    SPEECH = "speech"


class UploadState(StrEnum):
    """State of an upload. pending: file not yet completed. probing: file to be probed. ready and rejected are final."""

    PENDING = "pending"
    PROBING = "probing"
    READY = "ready"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFacts:
    """Result of the probe. A portrait has width, height and face box; speech has a duration."""

    media_type: str
    """IANA media type, detected from the bytes."""
    size_bytes: int
    sha256: str
    """64 lower-case hexadecimal digits."""
    duration_s: float | None = None
    width_px: int | None = None
    height_px: int | None = None
    face_box: tuple[int, int, int, int] | None = None
    """Left, top, right, bottom in pixels of the image after EXIF rotation; right and bottom are exclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One file of a tenant."""

    id: UUID
    tenant: str
    kind: UploadKind
    state: UploadState
    content_type: str
    """As declared."""
    size_bytes: int
    """As declared; the presigned PUT accepts exactly this size."""
    created_at: datetime
    consent: Consent | None = None
    """Of a portrait, if the sender stated it."""
    facts: UploadFacts | None = None
    error_code: str | None = None
    error_detail: str | None = None

    @property
    def object_key(self) -> str:
        """Key of the file in the bucket."""
        return upload_key(self.tenant, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeLease:
    """The time-limited right of one prober to accept or reject one upload."""

    upload: Upload
    attempt: int
    """From 1, without released probes. It determines the delay of a retry; it is not limited."""
    token: UUID
    expires_at: datetime
