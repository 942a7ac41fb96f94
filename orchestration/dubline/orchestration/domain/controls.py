"""What a tenant may ask of motion beside the speech; the networks, which do it, say the same in their own room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The most of each control; the least is 0. The API may not import the networks themselves.
LIMITS: Final[Mapping[str, float]] = {"expression": 2.0, "head_motion": 2.0, "blink": 2.0, "shut_in_silence": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """Factors on motion relative to the portrait, 0 to LIMITS: 0 is the portrait's own state, 1 the usual."""

    expression: float = 1.0
    """Of brows, smile and cheeks."""
    head_motion: float = 1.0
    """Of where the head is and where it turns."""
    blink: float = 1.0
    """Of how often the eyes blink."""
    shut_in_silence: float = 1.0
    """How far the lips shut where nobody speaks."""


USUAL: Final = Controls()
