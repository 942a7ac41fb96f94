"""The life of an upload, without I/O: declared, put by the sender, probed once, ready or rejected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.object_keys import upload_key

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


#: Probers that may be lost over a file before it is rejected; failures that pass are not counted.
LOSS_BUDGET: Final = 3


class UploadKind(StrEnum):
    """What a job uses the file for."""

    PORTRAIT = "portrait"
    SPEECH = "speech"


class UploadState(StrEnum):
    """pending: declared, bytes not announced. probing: announced, to be checked. The other two are final."""

    PENDING = "pending"
    PROBING = "probing"
    READY = "ready"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFacts:
    """What the one probe of a file found. Portraits have pixels and a face, speech has a duration."""

    media_type: str
    """IANA media type of the bytes themselves, not of the declaration."""
    size_bytes: int
    sha256: str
    """64 lower-case hexadecimal digits."""
    duration_s: float | None = None
    width_px: int | None = None
    height_px: int | None = None
    face_box: tuple[int, int, int, int] | None = None
    """Left, top, right, bottom in pixels of the upright picture; right and bottom exclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One declared file of a tenant."""

    id: UUID
    tenant: str
    kind: UploadKind
    state: UploadState
    content_type: str
    """As declared."""
    size_bytes: int
    """As declared; the presigned PUT accepts exactly this."""
    created_at: datetime
    facts: UploadFacts | None = None
    error_code: str | None = None
    error_detail: str | None = None

    @property
    def object_key(self) -> str:
        """Where its bytes lie in the bucket."""
        return upload_key(self.tenant, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeLease:
    """The time-limited right of one prober to decide about one upload."""

    upload: Upload
    attempt: int
    """From 1; probes given back at a shutdown do not count. Sets the pause before the next one, no budget."""
    token: UUID
    expires_at: datetime
