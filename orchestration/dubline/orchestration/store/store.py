"""The store as one object: an engine and the five things that can be asked of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError

from dubline.orchestration.errors import DatabaseUnavailableError
from dubline.orchestration.store.batches import Batches
from dubline.orchestration.store.jobs import Jobs
from dubline.orchestration.store.keys import Keys
from dubline.orchestration.store.leases import Leases
from dubline.orchestration.store.transaction import transaction
from dubline.orchestration.store.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from sqlalchemy import Engine

    from dubline.orchestration.settings import DatabaseSettings

CONTROL_LOCK = 0x6475626C  # "dubl"; any constant that no one else uses in this database
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 30_000


class Store:
    """Everything that is kept in Postgres. Safe to share between threads; a forked child makes its own.

    Every method may raise DatabaseUnavailableError.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.keys = Keys(engine)
        self.uploads = Uploads(engine)
        self.batches = Batches(engine)
        self.jobs = Jobs(engine)
        self.leases = Leases(engine)

    @classmethod
    def connect(cls, settings: DatabaseSettings) -> Self:
        """Make a store that connects when first used."""
        return cls(
            create_engine(
                settings.url.get_secret_value(),
                pool_size=settings.pool_size,
                max_overflow=settings.pool_size,
                # A restarted server must not fail the first request after it.
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": CONNECT_TIMEOUT_S,
                    "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS}",
                },
            )
        )

    def check(self) -> None:
        """Ask the database whether it is there and migrated.

        Raises:
            DatabaseUnavailableError: it is not; the detail says which.
        """
        try:
            with transaction(self._engine) as session:
                session.execute(text("SELECT version_num FROM alembic_version"))
        except ProgrammingError as error:
            raise DatabaseUnavailableError(
                "The database has no tables yet. Run: python -m dubline.orchestration migrate"
            ) from error

    @contextmanager
    def control_turn(self) -> Iterator[bool]:
        """Hold the control lock for the length of the block; gives False where another process holds it.

        The lock lives in a transaction, so that a killed holder frees it with its connection.
        """
        with transaction(self._engine) as session:
            yield bool(session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": CONTROL_LOCK}))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
