"""Schemas of uploads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field

from dubline.api.schemas.fields import Fault, IsoTime, RequestModel, ResponseModel, printable, storable
from dubline.options.render import FACES_MOST
from dubline.orchestration.domain.consent import CONSENT_YEARS, STATEMENT_MAX_CHARS, SUBJECT_MAX_CHARS, Consent
from dubline.orchestration.domain.faces import Face, Remark
from dubline.orchestration.domain.uploads import Upload, UploadFacts, UploadKind, UploadState


def _plausible(at: datetime) -> datetime:
    if at.year not in CONSENT_YEARS:
        raise ValueError(f"The year is {at.year}. Use a time from {CONSENT_YEARS[0]} to {CONSENT_YEARS[-1]}.")
    return at


class ConsentRequest(RequestModel):
    """The consent of the person in a portrait. It is stored with the upload and deleted with it."""

    statement: Annotated[
        str,
        Field(
            min_length=1,
            max_length=STATEMENT_MAX_CHARS,
            description="What the person agreed to.",
            examples=["I agree that my photograph is animated for the product videos of Example Ltd."],
        ),
        AfterValidator(storable),
    ]
    subject: Annotated[
        str,
        Field(min_length=1, max_length=SUBJECT_MAX_CHARS, description="The person.", examples=["Ada Example"]),
        AfterValidator(printable),
    ]
    obtained_at: Annotated[
        IsoTime,
        AfterValidator(_plausible),
        Field(description="When the person agreed, in ISO 8601.", examples=["2026-01-31T12:00:00Z"]),
    ]

    def consent(self) -> Consent:
        """Convert to the domain's value."""
        return Consent(statement=self.statement, subject=self.subject, obtained_at=self.obtained_at)


class UploadRequest(RequestModel):
    """Declaration of a file to be sent."""

    kind: UploadKind = Field(description="Role of the file in a job.", examples=["portrait"])
    content_type: str = Field(
        min_length=1,
        max_length=255,
        description=(
            "Portraits: image/jpeg, image/png or image/webp. "
            "Speech: audio/wav, audio/mpeg, audio/flac, audio/ogg, audio/mp4 or audio/aac. "
            "Unknown type: application/octet-stream."
        ),
        examples=["image/jpeg"],
    )
    size_bytes: int = Field(
        strict=True,
        description="Exact length of the file; a PUT of another length is rejected.",
        examples=[482113],
    )
    consent: ConsentRequest | None = Field(
        default=None,
        description="Of portraits; required if the operator says so (`consent_required`).",
        examples=[
            {
                "statement": "I agree that my photograph is animated for the product videos of Example Ltd.",
                "subject": "Erika Mustermann",
                "obtained_at": "2026-01-31T12:00:00Z",
            }
        ],
    )


class PutAnswer(ResponseModel):
    """The request that sends the file."""

    method: Literal["PUT"] = "PUT"
    url: str = Field(description="Presigned URL; no API key is needed.")
    headers: dict[str, str] = Field(
        description="Headers of the PUT, to be sent unchanged.",
        examples=[{"Content-Type": "image/jpeg", "Content-Length": "482113"}],
    )
    expires_at: datetime


class FaceBox(ResponseModel):
    """The face in pixels of the upright picture; `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, box: tuple[int, int, int, int]) -> Self:
        """Build the schema of a box."""
        return cls(left=box[0], top=box[1], right=box[2], bottom=box[3])


class FaceAnswer(ResponseModel):
    """One face of a portrait."""

    box: FaceBox
    tilt_deg: float = Field(description="Rotation of the face, clockwise; it is rendered upright and rotated back.")
    warnings: list[Fault] = Field(description="What makes a video of this face worse.")
    error: Fault | None = Field(description="Why this face cannot be animated; null: it can.")

    @classmethod
    def of(cls, face: Face) -> Self:
        """Build the schema of a face."""
        return cls(
            box=FaceBox.of(face.box),
            tilt_deg=face.tilt_deg,
            warnings=_remarks(face.warnings),
            error=None if face.error is None else Fault(code=face.error.code, detail=face.error.detail),
        )


class FactsAnswer(ResponseModel):
    """Properties of the file that the probe found."""

    media_type: str = Field(description="Media type, detected from the bytes.", examples=["image/jpeg"])
    size_bytes: int
    sha256: str = Field(description="SHA-256 of the file, 64 hexadecimal digits.")
    duration_s: float | None = Field(description="Duration of speech.")
    width_px: int | None = Field(description="Width of a portrait.")
    height_px: int | None = Field(description="Height of a portrait.")
    face_box: FaceBox | None = Field(description="Box of the first face of a portrait.")
    faces: list[FaceAnswer] = Field(
        description=f"Faces of a portrait, {FACES_MOST} at most; the first speaks unless a job chooses another."
    )
    warnings: list[Fault] = Field(
        description="What makes a video of the portrait worse, and whether it has more faces."
    )

    @classmethod
    def of(cls, facts: UploadFacts) -> Self:
        """Build the schema of an upload's facts."""
        return cls(
            media_type=facts.media_type,
            size_bytes=facts.size_bytes,
            sha256=facts.sha256,
            duration_s=facts.duration_s,
            width_px=facts.width_px,
            height_px=facts.height_px,
            face_box=facts.face_box and FaceBox.of(facts.face_box),
            faces=[FaceAnswer.of(face) for face in facts.known_faces],
            warnings=_remarks(facts.warnings),
        )


class ConsentAnswer(ResponseModel):
    """The consent of the person in a portrait."""

    statement: str
    subject: str
    obtained_at: datetime


class UploadAnswer(ResponseModel):
    """One upload."""

    id: UUID
    kind: UploadKind
    state: UploadState = Field(
        description=(
            "pending: not completed yet. probing: being checked. ready: usable in jobs. rejected: see `error`."
        )
    )
    content_type: str
    size_bytes: int
    created_at: datetime
    consent: ConsentAnswer | None = Field(description="As stated by the sender.")
    facts: FactsAnswer | None = Field(description="Set if the upload is ready.")
    error: Fault | None = Field(description="Set if the upload is rejected.")

    @classmethod
    def of(cls, upload: Upload) -> Self:
        """Build the schema of an upload."""
        return cls.model_validate(_fields(upload))


class UploadCreated(UploadAnswer):
    """A new upload and the request that sends its file."""

    put: PutAnswer

    @classmethod
    def to(cls, upload: Upload, put: PutAnswer) -> Self:
        """Build the schema of a new upload."""
        return cls.model_validate({**_fields(upload), "put": put})


class UploadListAnswer(ResponseModel):
    """One page of a list of uploads."""

    data: list[UploadAnswer]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last page.")


def _remarks(remarks: Sequence[Remark]) -> list[Fault]:
    return [Fault(code=one.code, detail=one.detail) for one in remarks]


def _fields(upload: Upload) -> dict[str, object]:
    code = upload.error_code
    return {
        "id": upload.id,
        "kind": upload.kind,
        "state": upload.state,
        "content_type": upload.content_type,
        "size_bytes": upload.size_bytes,
        "created_at": upload.created_at,
        "consent": upload.consent and asdict(upload.consent),
        "facts": upload.facts and FactsAnswer.of(upload.facts),
        "error": Fault(code=code, detail=upload.error_detail or "") if code else None,
    }
