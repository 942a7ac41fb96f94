"""File names out of custom ids, which may hold anything: a name stays in its folder and means one id."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNSAFE: Final = re.compile(r"[^\w.-]+")
_LONGEST_BYTES: Final = 120
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
)


def file_names(custom_ids: Iterable[str], suffix: str) -> dict[str, str]:
    """Choose a file name for each id.

    An id that is a good file name is used as it is. Any other, and any that a folder which ignores case would
    take for one before it, gets a part of its hash.

    Args:
        custom_ids: all different.
        suffix: with its dot.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for custom_id in custom_ids:
        stem = name = _stem(custom_id)
        tries = 0
        while name.casefold() in taken or (name == stem != custom_id):
            tries += 1
            name = f"{stem}-{_digest(f'{tries} {custom_id}')}"
        taken.add(name.casefold())
        names[custom_id] = name + suffix
    return names


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:10]


def _stem(custom_id: str) -> str:
    plain = _UNSAFE.sub("_", unicodedata.normalize("NFC", custom_id)).lstrip(".-").rstrip(".")
    short = plain.encode(errors="replace")[:_LONGEST_BYTES].decode(errors="ignore")
    if not short or short.split(".")[0].casefold() in _RESERVED:
        return f"job-{short}" if short else "job"
    return short
