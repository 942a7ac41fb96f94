"""Idempotency keys: a request that is sent again with its key creates nothing a second time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The key of a request that creates something, and the hash that tells it from other requests."""

    key: str
    """1 to 255 characters chosen by the sender."""
    sha256: str
    """Hexadecimal hash of the request."""
