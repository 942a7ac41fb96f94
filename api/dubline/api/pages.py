"""Parameters of lists: length, cursor and dates; and the cursor of the next page."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Query

from dubline.api import cursors
from dubline.api.schemas.fields import IsoTime
from dubline.orchestration.domain.listing import Page, Window

PAGE_LIMIT: Final = 500

Limit = Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Largest number of rows on one page.")]
Cursor = Annotated[
    str | None, Query(max_length=64, description="`next_cursor` of the previous page; omit for the first page.")
]
CreatedAfter = Annotated[IsoTime | None, Query(description="Only what was created at this time or later.")]
CreatedBefore = Annotated[IsoTime | None, Query(description="Only what was created before this time.")]


def window(
    limit: Limit = 100,
    cursor: Cursor = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
) -> Window:
    """Read the parameters of a list; a dependency of its route.

    Raises:
        InvalidRequestError: the cursor is not one of a list.
    """
    return Window(
        limit=limit,
        after=None if cursor is None else cursors.decode_place(cursor),
        created_after=created_after,
        created_before=created_before,
    )


def next_cursor(page: Page[Any]) -> str | None:
    """Return the cursor of the page after this one; None if it is the last."""
    return None if page.next_after is None else cursors.encode_place(page.next_after)
