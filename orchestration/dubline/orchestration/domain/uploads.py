"""Uploads: states, facts found by the probe, and the lease of a prober."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.faces import Face, Remark
from dubline.orchestration.domain.object_keys import upload_key

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from dubline.orchestration.domain.consent import Consent


#: Number of lost probers after which an upload is rejected; transient failures are not counted.
LOSS_BUDGET: Final = 3
#: Default seconds for which an upload is kept while no job names it.
UNUSED_S: Final = 7 * 86_400
SEVERAL_FACES: Final = Remark(
    "several_faces",
    "The picture has several faces. The first of `faces` speaks; choose another one with `face_index` or `face`.",
)


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
    """Of the first face: left, top, right, bottom in pixels of the image after EXIF rotation; right and bottom are
    exclusive."""
    faces: tuple[Face, ...] = ()
    """At most `FACES_MOST`: the first one speaks unless the sender chooses another. Empty: the probe was one of the
    previous version, which knew the first face only."""

    @property
    def known_faces(self) -> tuple[Face, ...]:
        """The faces, also where only the box of the first one is known."""
        return self.faces or (() if self.face_box is None else (Face(box=self.face_box),))

    @property
    def warnings(self) -> tuple[Remark, ...]:
        """What the sender of the picture may want to know."""
        first = self.faces[0].warnings if self.faces else ()
        return (*first, SEVERAL_FACES) if len(self.faces) > 1 else first


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
