"""The store: one object with the operations of each kind of row."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from dubline.orchestration.database.migrations import latest
from dubline.orchestration.database.store import connections
from dubline.orchestration.database.store.accounts.keys import Keys
from dubline.orchestration.database.store.accounts.tenants import Tenants
from dubline.orchestration.database.store.accounts.usage import UsageTotals
from dubline.orchestration.database.store.attempts.leases import Leases
from dubline.orchestration.database.store.attempts.workers import Workers
from dubline.orchestration.database.store.backlogs import Backlogs
from dubline.orchestration.database.store.batches import Batches
from dubline.orchestration.database.store.deletion.deletions import Deletions
from dubline.orchestration.database.store.events import Events
from dubline.orchestration.database.store.jobs import Jobs
from dubline.orchestration.database.store.outbox import Outbox
from dubline.orchestration.database.store.predictions import Predictions
from dubline.orchestration.database.store.restored import Restored
from dubline.orchestration.database.store.sharing.shares import Shares
from dubline.orchestration.database.store.transaction import transaction, translated_errors
from dubline.orchestration.database.store.uploads import Uploads
from dubline.orchestration.database.store.weights import Weights
from dubline.orchestration.domain.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from sqlalchemy import Engine

    from dubline.orchestration.settings import DatabaseSettings

#: Connections for keys and for the check of the database; the API looks up fewer keys at once.
RESERVED: Final = 5


class Store:
    """All operations on the database. It is thread-safe; a forked process must connect its own.

    Every method may raise DatabaseUnavailableError.
    """

    def __init__(self, engine: Engine, reserved: Engine | None = None) -> None:
        self._engine = engine
        self._reserved = reserved or engine
        self.keys = Keys(engine, self._reserved)
        self.tenants = Tenants(engine)
        self.uploads = Uploads(engine)
        self.batches = Batches(engine)
        self.jobs = Jobs(engine)
        self.backlogs = Backlogs(engine)
        self.predictions = Predictions(engine)
        self.leases = Leases(engine)
        self.shares = Shares(engine, self.leases.unconfirmed)
        self.outbox = Outbox(engine)
        self.deletions = Deletions(engine)
        self.events = Events(engine)
        self.usage = UsageTotals(engine)
        self.workers = Workers(engine)
        self.weights = Weights(engine)
        self.restored = Restored(engine)

    @classmethod
    def connect(cls, settings: DatabaseSettings) -> Self:
        """Create a store that connects when it is first used."""
        return cls(connections.create(settings))

    @classmethod
    def serve(cls, settings: DatabaseSettings) -> Self:
        """Create a store for a process that answers requests.

        No request waits long for a lock or a connection. Keys and the state of the database are read by connections
        that no other operation uses.
        """
        reserved = connections.create(settings, reserved=RESERVED, serving=True)
        return cls(connections.create(settings, serving=True), reserved)

    def check(self) -> None:
        """Check that the database is available and migrated.

        Raises:
            DatabaseUnavailableError: it is unavailable, has no tables, or has those of an older version.
        """
        try:
            with transaction(self._reserved) as session:
                revision = session.scalar(text("SELECT version_num FROM alembic_version")) or ""
        except ProgrammingError as error:
            raise DatabaseUnavailableError(
                "The database has no tables yet. Run: python -m dubline.orchestration migrate"
            ) from error
        # Tables of a newer version are accepted: the previous version of the code runs on them.
        if revision < latest():
            raise DatabaseUnavailableError(
                f"The database has tables of revision {revision}, but {latest()} is needed."
                " Run: python -m dubline.orchestration migrate"
            )

    @contextmanager
    def lock(self, name: int) -> Iterator[Callable[[], None] | None]:
        """Hold a lock of the whole installation during the block; yield None if another process holds it.

        The lock belongs to a transaction, so it is released when the connection of its holder ends. It occupies one
        connection during the block; calls of the store use others.

        Args:
            name: number of the lock in this database.

        Yields:
            A check, which raises DatabaseUnavailableError if the lock was lost with its connection.
        """
        with transaction(self._engine) as session:
            acquired = session.scalar(text("SELECT pg_try_advisory_xact_lock(:name)"), {"name": name})

            def check() -> None:
                with translated_errors():
                    session.execute(text("SELECT 1"))

            yield check if acquired else None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()
        self._reserved.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
