from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from tests.integration.waiting import wait_until

from dubline.options.render import MotionControls
from dubline.orchestration.database.migrations import latest
from dubline.orchestration.database.rows import Base
from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.domain.quotas import Holdings
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

# Every column, constraint and index as described by PostgreSQL.
DESCRIPTION = text("""
    SELECT 'column', table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'index', tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public'
""")


OLD_ROWS = text("""
    INSERT INTO tenants (name) VALUES ('acme');
    INSERT INTO jobs (id, tenant, portrait_upload_id, speech_upload_id, speech_s, preset, weights_sha256, seed, state,
        order_key, attempt_count, progress_percent, result_key, result_size_bytes, result_duration_s, started_at,
        finalized_at)
    VALUES (gen_random_uuid(), 'acme', gen_random_uuid(), gen_random_uuid(), 1, 'tiny', 'w', 0, 'succeeded',
        0, 1, 100, 'r', 1, 1, now(), now());
    INSERT INTO attempts (job_id, number, token, worker, ended_at, outcome)
    SELECT id, 1, gen_random_uuid(), 'w', now(), 'succeeded' FROM jobs;
""")


@pytest.fixture
def empty(postgres_url: str) -> Iterator[DatabaseSettings]:
    """A database without tables."""
    admin = create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE scratch"))
        yield DatabaseSettings.model_validate({"url": postgres_url.replace("/dubline", "/scratch")})
        connection.execute(text("DROP DATABASE scratch WITH (FORCE)"))


def described(settings: DatabaseSettings) -> set[tuple[object, ...]]:
    engine = create_engine(settings.url.get_secret_value(), poolclass=NullPool)
    with engine.connect() as connection:
        rows = {tuple(row) for row in connection.execute(DESCRIPTION)}
    return {row for row in rows if "alembic_version" not in str(row)}


def test_the_migrations_create_the_tables_of_the_row_classes(
    empty: DatabaseSettings, database: DatabaseSettings
) -> None:
    engine = create_engine(empty.url.get_secret_value(), poolclass=NullPool)
    Base.metadata.create_all(engine)
    assert described(empty) == described(database)


def test_rows_of_the_first_version_are_migrated(empty: DatabaseSettings, database: DatabaseSettings) -> None:
    migrate(empty, "0001")
    engine = create_engine(empty.url.get_secret_value(), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(OLD_ROWS)
    migrate(empty)
    assert described(empty) == described(database)
    with Store.connect(empty) as store:
        ((job_id,),) = job_ids(engine)
        old = store.jobs.get("acme", job_id)
        assert (old.state, old.gpu_s, old.deadline_at, old.weights_sha256) == ("succeeded", 0, None, "w")
        assert old.options.controls == MotionControls()
        assert store.tenants.holdings("acme") == Holdings(jobs=0, speech_s=0, stored_bytes=1)
        (attempt,) = store.jobs.attempts("acme", job_id)
        assert (attempt.outcome, attempt.gpu_s, attempt.refused_writes) == ("succeeded", 0, 0)


def job_ids(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT id FROM jobs"))]


def test_migrating_again_changes_nothing(database: DatabaseSettings) -> None:
    before = described(database)
    migrate(database)
    assert described(database) == before


def test_a_migration_leaves_the_tables_of_a_newer_version(empty: DatabaseSettings) -> None:
    # A rollback may run the migration of the version before.
    migrate(empty)
    engine = create_engine(empty.url.get_secret_value(), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = described(empty)
    migrate(empty)
    assert described(empty) == before
    with Store.connect(empty) as store:
        store.check()


def test_a_database_without_tables_is_reported_with_the_command_to_run(empty: DatabaseSettings) -> None:
    with Store.connect(empty) as store, pytest.raises(DatabaseUnavailableError, match="migrate"):
        store.check()


def test_tables_of_an_older_version_are_reported_with_the_command(empty: DatabaseSettings) -> None:
    migrate(empty, "0004")
    with Store.connect(empty) as store, pytest.raises(DatabaseUnavailableError, match=f"0004, but {latest()} is"):
        store.check()


def test_a_migration_that_waits_for_a_lock_does_not_block_reads(empty: DatabaseSettings) -> None:
    migrate(empty, "0004")
    engine = create_engine(empty.url.get_secret_value(), poolclass=NullPool)
    with ThreadPoolExecutor(1) as pool:
        with engine.connect() as holder, engine.connect() as reader:
            holder.execute(text("SELECT count(*) FROM jobs"))
            migration = pool.submit(migrate, empty)
            wait_until(lambda: is_waiting_for_jobs(engine))
            reader.execute(text("SET statement_timeout = '15s'"))
            assert reader.scalar(text("SELECT count(*) FROM jobs")) == 0
            assert not migration.done()
        migration.result(60)
    with Store.connect(empty) as store:
        store.check()


def is_waiting_for_jobs(engine: Engine) -> bool:
    waiting = text("SELECT count(*) FROM pg_locks WHERE relation = 'jobs'::regclass AND NOT granted")
    with engine.connect() as connection:
        return bool(connection.scalar(waiting))


def test_a_migrated_database_passes_the_check(store: Store) -> None:
    store.check()


def test_an_unavailable_database_raises_a_typed_error() -> None:
    unavailable = DatabaseSettings.model_validate({"url": "postgresql+psycopg://postgres@127.0.0.1:1/dubline"})
    with Store.connect(unavailable) as store, pytest.raises(DatabaseUnavailableError):
        store.check()
    with pytest.raises(DatabaseUnavailableError):
        migrate(unavailable)
