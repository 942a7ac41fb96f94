"""Schemas of verifications."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from dubline.api.schemas.fields import RequestModel, ResponseModel
from dubline.orchestration.domain.jobs import Job


class Verdict(StrEnum):
    """What the service knows about a file."""

    UNALTERED = "unaltered"
    ALTERED = "altered"
    UNKNOWN = "unknown"


class VerificationRequest(RequestModel):
    """A file to verify. The file itself is not sent."""

    sha256: Annotated[
        str,
        Field(
            pattern="^[0-9a-f]{64}$", description="SHA-256 of the file, 64 hexadecimal digits.", examples=["ab" * 32]
        ),
    ]
    job_id: UUID | None = Field(
        default=None,
        description="The job that the file's MP4 tag `comment` names; it reveals altered files.",
        examples=["0198c2f5-1f0e-7a55-b1c4-5d1c7e9a4c33"],
    )


class VerifiedJob(ResponseModel):
    """The job that rendered the file."""

    id: UUID
    custom_id: str | None
    created_at: datetime
    finalized_at: datetime | None


class VerificationAnswer(ResponseModel):
    """What the service knows about a file."""

    verdict: Verdict = Field(
        description=(
            "unaltered: the bytes are those of a result of the caller's tenant. altered: the named job is one of the "
            "caller's tenant, but its result has other bytes. unknown: neither; the file may be another tenant's, or "
            "its job was deleted."
        )
    )
    job: VerifiedJob | None = Field(description="Null if unknown.")

    @classmethod
    def of(cls, verdict: Verdict, job: Job | None = None) -> Self:
        """Build the schema of a verdict."""
        if job is None:
            return cls(verdict=verdict, job=None)
        fields = {name: getattr(job, name) for name in VerifiedJob.model_fields}
        return cls(verdict=verdict, job=VerifiedJob.model_validate(fields))
