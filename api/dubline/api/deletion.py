"""Answers of deletions: nothing to show but the id of the audit entry that says who deleted what, and when."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from fastapi import Response

from dubline.api.openapi import problems

HEADER: Final = "Dubline-Audit"
_NO_CONTENT: Final = 204


def route(*statuses: int) -> dict[str, Any]:
    """Declare a route that deletes and may answer with problems, for its decorator."""
    schema = {"type": "string", "format": "uuid"}
    header = {
        "description": "Id of the audit entry. It is complete once the last file has left the bucket.",
        "schema": schema,
        "example": "0198c2f5-1f0e-7a55-b1c4-5d1c7e9a4c33",
    }
    gone = {"description": "It is gone; its files follow within seconds.", "headers": {HEADER: header}}
    return {
        "status_code": _NO_CONTENT,
        "response_class": Response,
        "responses": {_NO_CONTENT: gone, **problems(*statuses)},
    }


def answer(audit_id: UUID) -> Response:
    """Say that it is gone."""
    return Response(status_code=_NO_CONTENT, headers={HEADER: str(audit_id)})
