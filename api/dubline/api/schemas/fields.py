"""Base models and field types that several schemas share."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, ClassVar, Final, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from dubline.api.documents import Document
from dubline.options.deadline import DEADLINE_MAX_S, DEADLINE_MIN_S
from dubline.options.printable import is_printable
from dubline.orchestration.domain.batches import RETENTION_MAX_S, RETENTION_MIN_S
from dubline.orchestration.domain.jobs import CUSTOM_ID_MAX_CHARS
from dubline.orchestration.settings import LimitSettings

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BREAKS: Final = str.maketrans("\r\n\t", "   ")


class RequestModel(BaseModel):
    """Base of request bodies; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    has_rows: ClassVar[bool] = False
    """Whether a body may be as large as a batch; then `parse` bounds what a row costs."""

    @classmethod
    def parse(cls, text: str, limits: LimitSettings) -> Self:  # noqa: ARG003  # batches need the limits
        """Read and validate the text of a body.

        Raises:
            DocumentError: it is not JSON.
            pydantic.ValidationError: it is not valid.
        """
        document = Document(text)
        value = document.value()
        document.end()
        return cls.model_validate(value)


class ResponseModel(BaseModel):
    """Base of response bodies."""

    model_config = ConfigDict(frozen=True)


def printable(text: str) -> str:
    """Refuse text with characters that cannot be printed.

    Raises:
        ValueError: there is one.
    """
    # This also rejects NUL, which PostgreSQL cannot store, and lone surrogates, which UTF-8 cannot encode.
    if not is_printable(text):
        raise ValueError("The text has characters that cannot be printed. Use printable characters only.")
    return text


def storable(text: str) -> str:
    """Refuse text that is blank, or has characters other than printable ones, line breaks and tabs.

    Raises:
        ValueError: it is.
    """
    if not text.strip():
        raise ValueError("The text is blank. Use more than blanks.")
    printable(text.translate(_BREAKS))
    return text


def iso_8601(value: object) -> object:
    """Refuse a number in place of a day or a time; the year 2026 would be read as so many seconds after 1970.

    Raises:
        ValueError: it is none in ISO 8601.
    """
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.match(value)):
        raise ValueError("The value is not in ISO 8601. Use 2026-01-31T12:00:00Z for a time or 2026-01-31 for a day.")
    return value


IsoTime = Annotated[AwareDatetime, BeforeValidator(iso_8601)]
IsoDay = Annotated[date, BeforeValidator(iso_8601)]
#: An idempotency key in a query: text that the database can receive.
KeyText = Annotated[str, Field(max_length=255), AfterValidator(printable)]
CustomId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=CUSTOM_ID_MAX_CHARS,
        description="The sender's id for the job: printable, unique in its batch, returned unchanged.",
        examples=["greeting-de-0017"],
    ),
    AfterValidator(printable),
]
PortraitUploadId = Annotated[
    UUID,
    Field(
        description="Id of the portrait's upload.",
        examples=["0198c2f4-5a51-7c3e-9d7a-0f6d8f0f3a11"],
    ),
]
SpeechUploadId = Annotated[
    UUID,
    Field(
        description="Id of the speech's upload.",
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
Percent = Annotated[float, Field(ge=0, le=100, description="Progress from 0 to 100.", examples=[42.0])]


class Fault(ResponseModel):
    """The reason of a failure: a stable code and a sentence."""

    code: str = Field(description="Stable identifier in snake_case.", examples=["no_face"])
    detail: str = Field(
        description="What is wrong, what is expected and what to do.",
        examples=["No face was found in the portrait. Use a frontal photograph of one person."],
    )
