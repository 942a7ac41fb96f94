"""Migrations of full tables: no statement of the service waits for long, whatever the number of rows."""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from benchmarks.database import driver_url
from benchmarks.migrations import READS, RELEASED, WRITES, Poller, fill, revisions
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

ROWS: Final = 4000
#: Ten times the timeout of one lock, for the tables of one migration and a busy machine.
LONGEST_S: Final = 5.0
#: A transaction that reads or changes all rows of a table, while it has a lock that blocks writes or reads, raises.
WATCH: Final = f"""
CREATE FUNCTION watch() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT relname, mode, pg_stat_get_xact_tuples_returned(pg_class.oid) AS read,
            pg_stat_get_xact_tuples_updated(pg_class.oid) AS updated
        FROM pg_locks JOIN pg_class ON pg_class.oid = relation
        WHERE pid = pg_backend_pid() AND relkind = 'r' AND relnamespace = 'public'::regnamespace
    LOOP
        IF found.updated >= {ROWS // 2} OR found.read >= {ROWS // 2} AND found.mode IN (
            'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
        ) THEN
            RAISE EXCEPTION '%: % rows read and % changed in one transaction that has a %',
                found.relname, found.read, found.updated, found.mode;
        END IF;
    END LOOP;
END $$;
CREATE FUNCTION watch_command() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM watch(); END';
CREATE FUNCTION watch_end() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM watch(); RETURN NULL; END';
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''a table is rewritten''; END';
CREATE EVENT TRIGGER watch_commands ON ddl_command_end EXECUTE FUNCTION watch_command();
CREATE EVENT TRIGGER refuse_rewriting ON table_rewrite EXECUTE FUNCTION refuse();
CREATE TRIGGER watch_migrations AFTER UPDATE ON alembic_version EXECUTE FUNCTION watch_end();
"""  # noqa: S608 - our own text


@pytest.fixture(scope="module")
def admin(postgres_url: str) -> Iterator[Connection]:
    """A connection outside transactions; the server has a database `released` to copy.

    It has the tables of the last released version, and many rows in each.
    """
    engine = create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    settings = DatabaseSettings.model_validate({"url": postgres_url.replace("/dubline", "/released")})
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE released"))
        migrate(settings, f"{RELEASED:04}")
        fill(settings.url.get_secret_value(), ROWS)
        yield connection
        connection.execute(text("DROP DATABASE released WITH (FORCE)"))


@pytest.fixture
def filled(admin: Connection, postgres_url: str) -> Iterator[DatabaseSettings]:
    """A copy of `released`."""
    admin.execute(text("CREATE DATABASE filled TEMPLATE released"))
    yield DatabaseSettings.model_validate({"url": postgres_url.replace("/dubline", "/filled")})
    admin.execute(text("DROP DATABASE filled WITH (FORCE)"))


def hold_locks(url: str, stop: Event) -> None:
    """Read all tables in one short transaction after the other, so that migrations have to wait for locks."""
    with psycopg.connect(driver_url(url)) as connection:
        while not stop.wait(0.02):
            for read in READS:
                connection.execute(read)
            stop.wait(0.1)
            connection.rollback()


def test_no_statement_waits_long_while_a_filled_table_is_migrated(
    filled: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dubline.orchestration.database.store.schema.LOCK_PAUSE_S", 0.05)
    url, stop = filled.url.get_secret_value(), Event()
    holder = Thread(target=hold_locks, args=(url, stop))
    holder.start()
    try:
        with Poller(url, READS) as reads, Poller(url, WRITES) as writes:
            for revision in revisions():
                migrate(filled, revision)
                assert max(reads.longest_s, writes.longest_s) < LONGEST_S, (revision, reads.slowest, writes.slowest)
    finally:
        stop.set()
        holder.join()
    assert min(reads.count, writes.count) > len(READS)


def test_no_migration_scans_or_rewrites_a_filled_table_under_a_lock(filled: DatabaseSettings) -> None:
    with psycopg.connect(driver_url(filled.url.get_secret_value()), autocommit=True) as connection:
        connection.execute(WATCH)
    for revision in revisions():
        migrate(filled, revision)


def test_a_table_that_is_scanned_under_a_lock_is_noticed(filled: DatabaseSettings) -> None:
    with psycopg.connect(driver_url(filled.url.get_secret_value()), autocommit=True) as connection:
        connection.execute(WATCH)
        for statement in (
            "ALTER TABLE events ADD CONSTRAINT positive CHECK (id > 0)",
            "CREATE INDEX slow ON jobs (created_at)",
            "ALTER TABLE jobs ALTER COLUMN seed TYPE numeric",
            "UPDATE batches SET row_count = 2; UPDATE alembic_version SET version_num = '0005'",
        ):
            with pytest.raises(psycopg.errors.RaiseException):
                connection.execute(statement)
