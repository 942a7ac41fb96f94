"""Keyset pages of a tenant's rows, newest first: each page is one range of an index, however long the list is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import select, tuple_, union_all
from sqlalchemy.orm import aliased

from dubline.orchestration.domain.listing import Page, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.orm import Session

    from dubline.orchestration.domain.listing import Window

Row = TypeVar("Row")
T = TypeVar("T")


def rows_by_state(
    session: Session, row: type[Row], tenant: str, states: Iterable[str], window: Window, *where: Any
) -> Sequence[Row]:
    """Read a page of rows in some states, and one row more if there is another page.

    The rows of each state are a range of the index of tenant, state and creation; the page merges these ranges.
    """
    ranges = [_page(select(row).where(_column(row, "state") == state, *where), row, tenant, window) for state in states]
    merged: Any = aliased(row, union_all(*ranges).subquery())
    return session.scalars(
        select(merged).order_by(merged.created_at.desc(), merged.id.desc()).limit(window.limit + 1)
    ).all()


def rows(session: Session, row: type[Row], tenant: str, window: Window, *where: Any) -> Sequence[Row]:
    """Read a page of rows, and one row more if there is another page."""
    return session.scalars(_page(select(row).where(*where), row, tenant, window)).all()


def page_of(found: Sequence[Any], window: Window, convert: Callable[[Any], T]) -> Page[T]:
    """Convert the rows of a page, of which there is one more than its limit if there is another page."""
    last = found[window.limit - 1] if len(found) > window.limit else None
    return Page(
        items=tuple(map(convert, found[: window.limit])),
        next_after=last and Place(created_at=last.created_at, id=last.id),
    )


def _page(query: Any, row: type[Any], tenant: str, window: Window) -> Any:
    created_at, row_id = _column(row, "created_at"), _column(row, "id")
    query = query.where(_column(row, "tenant") == tenant)
    if window.created_after is not None:
        query = query.where(created_at >= window.created_after)
    if window.created_before is not None:
        query = query.where(created_at < window.created_before)
    if window.after is not None:
        query = query.where(tuple_(created_at, row_id) < (window.after.created_at, window.after.id))
    return query.order_by(created_at.desc(), row_id.desc()).limit(window.limit + 1)


def _column(row: type[Any], name: str) -> Any:
    return getattr(row, name)
