"""The consent of the person in a portrait, as a user states it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dubline.client.errors import ClientError
from dubline.options.refusals import sentence_of

if TYPE_CHECKING:
    from pathlib import Path


def _iso(value: object) -> object:
    # Otherwise the year 2026 would be read as so many seconds after 1970.
    if not isinstance(value, str) or "T" not in value:
        raise ValueError("The value is not a time in ISO 8601. Use one such as 2026-01-31T12:00:00Z.")
    return value


class Consent(BaseModel):
    """A statement of consent; the server checks the characters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    statement: Annotated[str, Field(min_length=1, max_length=2000)]
    subject: Annotated[str, Field(min_length=1, max_length=200)]
    obtained_at: Annotated[AwareDatetime, BeforeValidator(_iso)]


def read_consent(path: Path) -> Consent:
    """Read a JSON file with `statement`, `subject` and `obtained_at`.

    Raises:
        ClientError: the file cannot be read or is not valid.
    """
    try:
        return Consent.model_validate_json(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ClientError(f"Cannot read {path}: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise ClientError(
            f"{path} is no statement of consent: {where}{sentence_of(first)} "
            'Write {"statement": "...", "subject": "...", "obtained_at": "2026-01-31T12:00:00Z"}.'
        ) from error
    except ValueError as error:
        raise ClientError(f"{path} is not UTF-8 text. Save it as UTF-8.") from error
