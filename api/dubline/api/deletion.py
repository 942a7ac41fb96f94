"""Responses of deletions: no content, and the id of the audit entry in a header."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from fastapi import Response

from dubline.api.openapi import problems

HEADER: Final = "Dubline-Audit"
_NO_CONTENT: Final = 204


def route(*statuses: int) -> dict[str, Any]:
    """Return the decorator arguments of a deleting route with its error statuses."""
    schema = {"type": "string", "format": "uuid"}
    header = {
        "description": "Id of the audit entry. It is complete once the last file is removed from the bucket.",
        "schema": schema,
        "example": "0198c2f5-1f0e-7a55-b1c4-5d1c7e9a4c33",
    }
    deleted = {"description": "Deleted; files are removed within seconds.", "headers": {HEADER: header}}
    return {
        "status_code": _NO_CONTENT,
        "response_class": Response,
        "responses": {_NO_CONTENT: deleted, **problems(*statuses)},
    }


def response(audit_id: UUID) -> Response:
    """Create the response of a deletion."""
    return Response(status_code=_NO_CONTENT, headers={HEADER: str(audit_id)})
