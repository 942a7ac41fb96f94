"""Idempotency keys of requests that create something."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

from fastapi import Header

from dubline.orchestration.domain.idempotency import Request

if TYPE_CHECKING:
    from fastapi import Response

    from dubline.api.schemas.fields import RequestModel

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description=(
            "A random key, to be stored before the request is sent. The same key with the same body returns what the "
            "first request created and `Idempotency-Replayed: true`; with another body it is rejected. A key is kept "
            "as long as what it created."
        ),
    ),
]


def fingerprint(request: RequestModel) -> str:
    """Return the hash that tells a request from others with the same key."""
    # A hash of the parsed request without defaults: explicit defaults, the order of fields and fields that a later
    # version adds do not change it.
    return hashlib.sha256(request.model_dump_json(exclude_defaults=True).encode()).hexdigest()


def keyed(key: str | None, request: RequestModel) -> Request | None:
    """Return the key of a request with its hash; None without a key."""
    return None if key is None else Request(key=key, sha256=fingerprint(request))


def mark(response: Response, *, replayed: bool) -> None:
    """Set the header of a response to a repeated request."""
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
