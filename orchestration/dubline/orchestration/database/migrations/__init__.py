"""The history of the tables, run by Alembic through `store.schema`."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext

__all__ = ["LOCK_TIMEOUT_MS", "latest", "without_blocking"]

#: A migration gives up a lock after this time; `store.schema` repeats it. Shorter than the second after which the
#: server looks for deadlocks: it would abort a transaction of the service instead of the migration.
LOCK_TIMEOUT_MS: Final = 500
#: The same for statements behind which no read and no write waits.
PATIENT_TIMEOUT_MS: Final = 60_000


@cache
def latest() -> str:
    """Return the revision that this version of the code needs. Revisions are numbers of four digits in one line."""
    return max(path.name[:4] for path in Path(__file__).parent.glob("versions/[0-9]*.py"))


@contextmanager
def without_blocking(context: MigrationContext) -> Iterator[None]:
    """Commit each statement of the block by itself, and let it wait for open transactions.

    For statements that block neither reads nor writes: indexes created concurrently, checks of existing rows, pages of
    rows. They must be repeatable, because a migration that fails is repeated as a whole.
    """
    with context.autocommit_block():
        context.execute(f"SET lock_timeout = {PATIENT_TIMEOUT_MS}")
        yield
        context.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
