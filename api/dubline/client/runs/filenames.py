"""Safe and unique file names for custom ids, which may contain any printable character."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNSAFE: Final = re.compile(r"[^\w.-]+")
_MAX_BYTES: Final = 120
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
)


def file_names(custom_ids: Iterable[str], suffix: str) -> dict[str, str]:
    """Return a file name for each id.

    An id that is a safe file name is kept. Otherwise, or if it equals an earlier name on a case-insensitive file
    system, a part of its hash is appended.

    Args:
        custom_ids: unique ids.
        suffix: file extension with its dot.
    """
    names: dict[str, str] = {}
    used: set[str] = set()
    for custom_id in custom_ids:
        stem = name = _stem(custom_id)
        tries = 0
        while name.casefold() in used or (name == stem != custom_id):
            tries += 1
            name = f"{stem}-{_digest(f'{tries} {custom_id}')}"
        used.add(name.casefold())
        names[custom_id] = name + suffix
    return names


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:10]


def _stem(custom_id: str) -> str:
    safe = _UNSAFE.sub("_", unicodedata.normalize("NFC", custom_id)).lstrip(".-").rstrip(".")
    short = safe.encode(errors="replace")[:_MAX_BYTES].decode(errors="ignore")
    if not short or short.split(".")[0].casefold() in _RESERVED:
        return f"job-{short}" if short else "job"
    return short
