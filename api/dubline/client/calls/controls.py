"""What to ask of motion beside the speech."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar, Final

from pydantic import ConfigDict, Field

#: Beyond these the server refuses; known here so that no file is sent in vain.
FACTOR_MOST: Final = 2.0
SHUT_MOST: Final = 1.0

_Factor = Annotated[float, Field(ge=0, le=FACTOR_MOST)]
_Share = Annotated[float, Field(ge=0, le=SHUT_MOST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """Factors on motion: 0 keeps what the portrait shows, 1 is the usual; None leaves the choice to the server.

    expression: of brows, smile and cheeks, 0 to 2.
    head_motion: of where the head is and where it turns, 0 to 2.
    blink: of how often the eyes blink, 0 to 2.
    shut_in_silence: how far the lips shut where nobody speaks, 0 to 1.
    """

    # For batch files, where pydantic reads them.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    expression: _Factor | None = None
    head_motion: _Factor | None = None
    blink: _Factor | None = None
    shut_in_silence: _Share | None = None

    def body(self) -> dict[str, float]:
        """Put it into the words of the API; empty if all is left to the server."""
        return {name: value for name, value in asdict(self).items() if value is not None}


UNSAID: Final = Controls()
