"""The stack: starts the processes of the service when their dependencies are ready, and stops them in order."""

from __future__ import annotations

import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from dubline.embedded import fork_server
from dubline.embedded.application import PRELOADED, PREPARE, application
from dubline.embedded.child import Child
from dubline.embedded.cleanup import CleanupProcess
from dubline.embedded.environment import inherited
from dubline.embedded.errors import EmbeddedError, PartFailed
from dubline.embedded.fork_server import ForkServer
from dubline.embedded.ports import LOOPBACK, free_ports
from dubline.embedded.servers.account import unprivileged
from dubline.embedded.servers.broker import broker, broker_url
from dubline.embedded.servers.bucket import bucket, bucket_url
from dubline.embedded.servers.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from dubline.embedded.part import Part

    Arrange = Callable[[tuple[Part, ...]], Iterable[Part]]

POLL_S: Final = 0.02
READY_WITHIN_S: Final = 90.0
#: Processes that run longer are killed, because the data is removed anyway.
STOP_WITHIN_S: Final = 2.0
#: Time for a graceful stop before a restart; longer, because the data is kept.
RESTART_WITHIN_S: Final = 30.0

INFRASTRUCTURE: Final = frozenset({"initdb", "database", "broker", "bucket"})


class Stack:
    """The service on loopback, in one temporary folder.

    Attributes:
        folder: folder of all files; created by `start`, removed by `stop`.
        logs: its folder with the output of each part.
        url: URL of the API.
        environ: environment variables of all parts, with the addresses of the servers.
        children: started parts by name.
    """

    def __init__(
        self, environ: Mapping[str, str] | None = None, arrange: Arrange | None = None, *, fork: bool = False
    ) -> None:
        """Prepare a stack; nothing is started.

        Args:
            environ: settings of its parts, in addition to this process's environment.
            arrange: returns the parts to run for the planned ones; it may replace, add and remove parts. `environ`
                of the stack is complete when it is called.
            fork: whether one process imports the service and forks for the parts that can be forked. All of them are
                then started in less time.
        """
        self.folder = Path(tempfile.gettempdir()).resolve() / f"dubline-{secrets.token_hex(6)}"
        self.logs = self.folder / "logs"
        self.environ = {**inherited(), **(environ or {})}
        self.children: dict[str, Child] = {}
        self.url = ""
        self._arrange: Arrange = arrange or tuple
        self._ready: set[str] = set()
        self._cleanup: CleanupProcess | None = None
        self._fork = fork
        self._forks: ForkServer | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def key(self) -> str:
        """An API key of the only tenant, once the stack is started."""
        return self.children[PREPARE].output().split()[-1]

    def start(self, check: Callable[[], None] = lambda: None, only: Iterable[str] | None = None) -> None:
        """Start the parts and wait until they are ready.

        Args:
            check: called between polls; an error that it raises ends the start.
            only: names of the parts to start; None: all.

        Raises:
            EmbeddedError: a server is not installed, or a part failed or was not ready in time.
        """
        self._cleanup = CleanupProcess()
        parts = tuple(self._arrange(self._plan(self._cleanup)))
        if only is not None:
            names = frozenset(only)
            parts = tuple(part for part in parts if part.name in names)
        if self._fork:
            self._forks = ForkServer(self.logs / f"{fork_server.NAME}.log", PRELOADED)
        while len(self._ready) < len(parts):
            check()
            self._launch(parts, self._cleanup)
            self._update_ready()
            time.sleep(POLL_S)

    def check(self) -> None:
        """Check that the servers of the stack are running.

        Raises:
            PartFailed: a server has ended.
        """
        for child in self.children.values():
            code = child.exit_code()
            if child.part.is_ready and code is not None:
                raise PartFailed(child.part.name, f"stopped with exit code {code}", child.tail())

    def restart(self, name: str) -> None:
        """Restart a part with the data in its folder, and wait until it is ready.

        A running part is stopped gracefully first. The bucket is empty afterwards, because it keeps objects in memory.

        Raises:
            PartFailed: the part has ended, or was not ready in time.
        """
        if self._cleanup is None:
            raise EmbeddedError("The stack is not started.")
        old = self.children[name]
        old.terminate()
        old.reap(RESTART_WITHIN_S)
        new = self.children[name] = Child(old.part, self.logs, self.environ, self.folder, self._cleanup, self._forks)
        while not _is_ready(new):
            time.sleep(POLL_S)

    def forget(self, name: str) -> None:
        """Remove a part that has ended from the checked ones."""
        self.children.pop(name).reap(0)

    def stop(self) -> None:
        """Stop every process, servers last, and remove the folder."""
        children = self.children.values()
        for last in (False, True):
            group = [child for child in children if child.part.last is last]
            for child in group:
                child.terminate()
            deadline = time.monotonic() + STOP_WITHIN_S
            for child in group:
                child.reap(deadline - time.monotonic())
        if self._forks:
            self._forks.close()
            self._forks = None
        if self._cleanup:
            self._cleanup.close()
            self._cleanup = None

    def watch(self, pid: int, stop_signal: int) -> None:
        """Have the cleanup process stop another process if this one is killed."""
        if self._cleanup:
            self._cleanup.watch(pid, stop_signal)

    def unwatch(self, pid: int) -> None:
        """Unregister such a process, which has ended."""
        if self._cleanup:
            self._cleanup.forget(pid)

    def _plan(self, cleanup: CleanupProcess) -> tuple[Part, ...]:
        cleanup.watch_folder(self.folder)
        # The user of PostgreSQL must be able to enter the folder, but not to list it.
        self.folder.mkdir(mode=0o711 if unprivileged() else 0o700)
        scratch = self.folder / "scratch"
        for private in (self.logs, scratch):
            private.mkdir(mode=0o700)
        api_port, broker_port, bucket_port, database_port = free_ports(4)
        self.url = f"http://{LOOPBACK}:{api_port}"
        database = Database(self.folder, database_port)
        self.environ |= {
            "DUBLINE_API_HOST": LOOPBACK,
            "DUBLINE_API_PORT": str(api_port),
            "DUBLINE_API_RATES_URL": broker_url(broker_port),
            "DUBLINE_BROKER_URL": broker_url(broker_port),
            "DUBLINE_BUCKET_ACCESS_KEY": "embedded",
            "DUBLINE_BUCKET_ENDPOINT_URL": bucket_url(bucket_port),
            "DUBLINE_BUCKET_NAME": "dubline",
            "DUBLINE_BUCKET_PUBLIC_URL": bucket_url(bucket_port),
            "DUBLINE_BUCKET_REGION": "us-east-1",
            "DUBLINE_BUCKET_SECRET_KEY": secrets.token_urlsafe(24),
            "DUBLINE_DATABASE_URL": database.url,
            "DUBLINE_WORKER_SCRATCH_DIR": str(scratch),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(scratch),
        }
        servers = (*database.parts, broker(self.folder, broker_port), bucket(bucket_port))
        return (*servers, *application(api_port))

    def _launch(self, parts: tuple[Part, ...], cleanup: CleanupProcess) -> None:
        for part in parts:
            if part.name not in self.children and part.needs <= self._ready:
                child = Child(part, self.logs, self.environ, self.folder, cleanup, self._forks)
                self.children[part.name] = child

    def _update_ready(self) -> None:
        for name, child in self.children.items():
            if name not in self._ready and _is_ready(child):
                self._ready.add(name)
                if child.part.is_ready is None:
                    child.release()
        self.check()


def _is_ready(child: Child) -> bool:
    code = child.exit_code()
    if child.part.is_ready is None and code is not None:
        if code:
            raise PartFailed(child.part.name, f"failed with exit code {code}", child.tail())
        return True
    if code is not None:
        raise PartFailed(child.part.name, f"stopped with exit code {code}", child.tail())
    if child.age_s > READY_WITHIN_S:
        raise PartFailed(child.part.name, f"was not ready within {READY_WITHIN_S:.0f} s", child.tail())
    return bool(child.part.is_ready and child.part.is_ready())
