"""Keyset pages of a tenant's rows, newest first: each page is one range of an index, however long the list is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import literal_column, select, tuple_, union_all

from dubline.orchestration.domain.listing import Page, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.orm import Session

    from dubline.orchestration.database.rows import Base
    from dubline.orchestration.domain.listing import Window

T = TypeVar("T")


def rows(  # noqa: PLR0913, PLR0917 - the parts of a query
    session: Session,
    row: type[Base],
    tenant: str,
    window: Window,
    ranges: Iterable[Sequence[Any]],
    columns: Sequence[Any] = (),
) -> Sequence[Any]:
    """Read a page of rows, and one row more if there is another page.

    Args:
        session: the transaction.
        row: class of the rows.
        tenant: owner of the rows.
        window: the page.
        ranges: lists of conditions, of which a row fulfils one. Each selects a range of an index that continues with
            the creation of rows, so the server reads no more rows than one page of each.
        columns: what is read, with `created_at` and `id`; empty: every column.

    Returns:
        Result rows. Objects of the row class take twice the time.
    """
    parts = [_page(select(*columns or (row.__table__,)).where(*where), row, tenant, window) for where in ranges]
    if len(parts) == 1:
        return session.execute(parts[0]).all()
    latest: tuple[Any, ...] = (literal_column("created_at").desc(), literal_column("id").desc())
    return session.execute(union_all(*parts).order_by(*latest).limit(window.limit + 1)).all()


def page_of(found: Sequence[Any], window: Window, convert: Callable[[Any], T]) -> Page[T]:
    """Convert the rows of a page, of which there is one more than its limit if there is another page."""
    last = found[window.limit - 1] if len(found) > window.limit else None
    return Page(
        items=tuple(map(convert, found[: window.limit])),
        next_after=last and Place(created_at=last.created_at, id=last.id),
    )


def _page(query: Any, row: type[Base], tenant: str, window: Window) -> Any:
    columns = row.__table__.c
    created_at, row_id = columns.created_at, columns.id
    query = query.where(columns.tenant == tenant)
    if window.created_after is not None:
        query = query.where(created_at >= window.created_after)
    if window.created_before is not None:
        query = query.where(created_at < window.created_before)
    if window.after is not None:
        query = query.where(tuple_(created_at, row_id) < (window.after.created_at, window.after.id))
    return query.order_by(created_at.desc(), row_id.desc()).limit(window.limit + 1)
