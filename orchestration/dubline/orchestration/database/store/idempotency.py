"""Idempotency keys of single jobs and uploads: columns of the row that a request created, unique for a tenant."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg.errors import UniqueViolation
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from dubline.orchestration.domain.errors import IdempotencyKeyReusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from sqlalchemy.orm import Session

    from dubline.orchestration.domain.idempotency import Request

T = TypeVar("T")


class _InUseError(Exception):
    """Another request with the key was committed first."""


def once(
    row: type[Any], request: Request | None, find: Callable[[], T | None], create: Callable[[], T]
) -> tuple[T, bool]:
    """Create a row, or find the one that an earlier request with the same key has created.

    Args:
        row: class of the row, for the name of its constraint.
        request: key and hash of the request; None: create without a key.
        find: returns what the earlier request created, in a transaction of its own.
        create: creates the row with the key, in a transaction of its own.

    Returns:
        The result, and whether an earlier request created it.
    """
    if request is None:
        return create(), False
    while True:
        earlier = find()
        if earlier is not None:
            return earlier, True
        try:
            with _key_in_use(row):
                return create(), False
        except _InUseError:
            # The row may have been deleted again when it is looked up, hence a loop.
            continue


def mark(session: Session, row: type[Any], row_id: UUID, request: Request | None) -> None:
    """Store the key of the request that created a row."""
    if request is not None:
        values = {"idempotency_key": request.key, "request_sha256": request.sha256}
        session.execute(update(row).where(row.id == row_id).values(values))


def earlier(session: Session, row: type[T], tenant: str, request: Request | None) -> T | None:
    """Read the row that an earlier request with the same key has created; None if there is none.

    Raises:
        IdempotencyKeyReusedError: the key was used with another request.
    """
    if request is None:
        return None
    like: Any = row
    found: T | None = session.scalar(select(row).where(like.tenant == tenant, like.idempotency_key == request.key))
    kept: Any = found
    if kept is not None and kept.request_sha256 != request.sha256:
        raise IdempotencyKeyReusedError
    return found


@contextmanager
def _key_in_use(row: type[Any]) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        # Of two concurrent requests with the same key, the second waits until the first commits, and then fails.
        # The text of an error has values of the row, and other constraints have similar names.
        cause = error.orig
        name = cause.diag.constraint_name if isinstance(cause, UniqueViolation) else None
        if name == f"{row.__tablename__}_idempotency_key":
            raise _InUseError from error
        raise
