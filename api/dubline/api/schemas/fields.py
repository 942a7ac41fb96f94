"""Kinds of field that several requests and answers share."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dubline.orchestration.domain.batches import RETENTION_MAX_S, RETENTION_MIN_S
from dubline.orchestration.domain.jobs import CUSTOM_ID_MAX_CHARS, DEADLINE_MAX_S, DEADLINE_MIN_S


class RequestModel(BaseModel):
    """A request's body: a misspelt field is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AnswerModel(BaseModel):
    """An answer's body."""

    model_config = ConfigDict(frozen=True)


def printable(text: str) -> str:
    """Refuse text with characters that cannot be printed.

    Raises:
        ValueError: there is one.
    """
    # Also keeps out NUL, which PostgreSQL cannot store, and lone surrogates, which UTF-8 cannot.
    if not text.isprintable():
        raise ValueError("use printable characters only")
    return text


CustomId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=CUSTOM_ID_MAX_CHARS,
        description="Your own name for the job, unique in its batch, printable, returned unchanged.",
        examples=["greeting-de-0017"],
    ),
    AfterValidator(printable),
]
PortraitUploadId = Annotated[
    UUID,
    Field(
        description="The upload of the portrait.",
        examples=["0198c2f4-5a51-7c3e-9d7a-0f6d8f0f3a11"],
    ),
]
SpeechUploadId = Annotated[
    UUID,
    Field(
        description="The upload of the speech.",
        examples=["0198c2f4-6b02-7d1f-8a4b-3c9e5d7a2b22"],
    ),
]
DeadlineS = Annotated[
    float,
    Field(
        strict=True,
        ge=DEADLINE_MIN_S,
        le=DEADLINE_MAX_S,
        description="Seconds from acceptance. A job that is not final by then fails with `deadline_exceeded`.",
        examples=[3600],
    ),
]
KeptS = Annotated[int, Field(strict=True, ge=RETENTION_MIN_S, le=RETENTION_MAX_S, examples=[604_800])]
Percent = Annotated[float, Field(ge=0, le=100, description="Work done, from 0 to 100.", examples=[42.0])]


class Fault(AnswerModel):
    """Why something failed: a stable code for programs and a sentence for people."""

    code: str = Field(description="Stable and snake_case; branch on this.", examples=["no_face"])
    detail: str = Field(
        description="What was wrong, what was expected and what to do.",
        examples=["No face was found in the portrait. Use a frontal photograph of one person."],
    )
