"""The consent of the person in a portrait, as the sender states it. It is recorded, not checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

STATEMENT_MAX_CHARS: Final = 2000
SUBJECT_MAX_CHARS: Final = 200
#: Years in which consent may have been obtained. The database cannot return every time that it stores.
CONSENT_YEARS: Final = range(1900, 2200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A statement of consent. It names a person, so no log event contains it."""

    statement: str
    """What the person agreed to, 1 to `STATEMENT_MAX_CHARS` characters."""
    subject: str
    """The person, 1 to `SUBJECT_MAX_CHARS` characters."""
    obtained_at: datetime
