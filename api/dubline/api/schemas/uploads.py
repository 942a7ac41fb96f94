"""Uploads over HTTP: what a sender declares, where to PUT it, and what the probe found."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import Field

from dubline.api.schemas.fields import AnswerModel, Fault, RequestModel
from dubline.orchestration.domain.uploads import Upload, UploadFacts, UploadKind, UploadState


class UploadRequest(RequestModel):
    """One file that is about to be sent."""

    kind: UploadKind = Field(description="What a job uses the file for.", examples=["portrait"])
    content_type: str = Field(
        min_length=1,
        max_length=255,
        description=(
            "Portraits: image/jpeg, image/png or image/webp. "
            "Speech: audio/wav, audio/mpeg, audio/flac, audio/ogg, audio/mp4 or audio/aac. "
            "Not known: application/octet-stream."
        ),
        examples=["image/jpeg"],
    )
    size_bytes: int = Field(
        strict=True,
        description="The file's exact length; the PUT accepts no other.",
        examples=[482113],
    )


class PutAnswer(AnswerModel):
    """Where and how to send the bytes."""

    method: Literal["PUT"] = "PUT"
    url: str = Field(description="Presigned; needs no API key.")
    headers: dict[str, str] = Field(
        description="Send exactly these with the PUT.",
        examples=[{"Content-Type": "image/jpeg", "Content-Length": "482113"}],
    )
    expires_at: datetime


class FaceBox(AnswerModel):
    """The face in pixels of the upright picture; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


class FactsAnswer(AnswerModel):
    """What the probe found in the file."""

    media_type: str = Field(description="Of the bytes themselves.", examples=["image/jpeg"])
    size_bytes: int
    sha256: str = Field(description="64 hexadecimal digits.")
    duration_s: float | None = Field(description="Of speech, in seconds.")
    width_px: int | None = Field(description="Of a portrait.")
    height_px: int | None = Field(description="Of a portrait.")
    face_box: FaceBox | None = Field(description="Of a portrait.")

    @classmethod
    def of(cls, facts: UploadFacts) -> Self:
        """Show what the probe kept."""
        box = facts.face_box
        return cls(
            media_type=facts.media_type,
            size_bytes=facts.size_bytes,
            sha256=facts.sha256,
            duration_s=facts.duration_s,
            width_px=facts.width_px,
            height_px=facts.height_px,
            face_box=box and FaceBox(left=box[0], top=box[1], right=box[2], bottom=box[3]),
        )


class UploadAnswer(AnswerModel):
    """One upload."""

    id: UUID
    kind: UploadKind
    state: UploadState = Field(
        description=(
            "pending: waiting for its bytes and for complete. probing: being checked. "
            "ready: jobs may use it. rejected: see error."
        )
    )
    content_type: str
    size_bytes: int
    created_at: datetime
    facts: FactsAnswer | None = Field(description="Set once the upload is ready.")
    error: Fault | None = Field(description="Set if the upload was rejected.")

    @classmethod
    def of(cls, upload: Upload) -> Self:
        """Show an upload as its row says."""
        return cls.model_validate(_shown(upload))


class UploadCreated(UploadAnswer):
    """A new upload and the place to PUT its bytes."""

    put: PutAnswer

    @classmethod
    def to(cls, upload: Upload, put: PutAnswer) -> Self:
        """Show a new upload together with where its bytes go."""
        return cls.model_validate({**_shown(upload), "put": put})


def _shown(upload: Upload) -> dict[str, object]:
    code = upload.error_code
    return {
        "id": upload.id,
        "kind": upload.kind,
        "state": upload.state,
        "content_type": upload.content_type,
        "size_bytes": upload.size_bytes,
        "created_at": upload.created_at,
        "facts": upload.facts and FactsAnswer.of(upload.facts),
        "error": Fault(code=code, detail=upload.error_detail or "") if code else None,
    }
