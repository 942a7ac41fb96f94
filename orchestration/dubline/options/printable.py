"""Which characters an id that a sender chooses may contain: those of any script, joiners and spaces included."""

from __future__ import annotations

import unicodedata
from typing import Final

#: Format characters that scripts and emoji are written with: soft hyphen, Arabic letter mark, zero-width space,
#: joiners, direction marks, word joiner. Overrides of the direction are not among them: they reorder a whole line.
_JOINERS: Final = frozenset("\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u2060")
#: Characters that spell the name of a region within the emoji of a flag.
_TAGS: Final = range(0xE0020, 0xE0080)
_SPACE: Final = "Zs"


def is_printable(text: str) -> bool:
    """Tell whether a text has no control characters, line separators, lone surrogates or unassigned characters."""
    # str.isprintable alone refuses a no-break space and the joiners of Persian, Hindi and emoji.
    return all(
        one.isprintable() or one in _JOINERS or ord(one) in _TAGS or unicodedata.category(one) == _SPACE for one in text
    )
