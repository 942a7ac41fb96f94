"""Paths of requests: an id that a user types may contain any character."""

from __future__ import annotations

from urllib.parse import quote


def path_of(collection: str, identifier: str, *more: str) -> str:
    """Return the path of one resource, with its id escaped.

    Args:
        collection: such as `/v1/jobs`.
        identifier: id of the resource.
        more: further parts, such as `cancel`.
    """
    return "/".join((collection, quote(identifier, safe="", errors="surrogateescape"), *more))
