"""The stack: every process of the service, started as soon as its needs are met, taken down in order."""

from __future__ import annotations

import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from dubline.embedded.application import KEY, application
from dubline.embedded.child import Child
from dubline.embedded.cleanup import Sweeper
from dubline.embedded.environment import inherited
from dubline.embedded.errors import EmbeddedError, PartFailed
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

PAUSE_S: Final = 0.02
READY_WITHIN_S: Final = 90.0
#: What runs on is killed then: the data goes away with the stack, so there is nothing to wait for.
STOP_WITHIN_S: Final = 2.0
#: What is to come back may end in its own time; then it is killed.
RESTART_WITHIN_S: Final = 30.0

INFRASTRUCTURE: Final = frozenset({"initdb", "database", "broker", "bucket"})


class Stack:
    """The service on loopback, in one temporary folder.

    Attributes:
        folder: everything that the stack writes; made by `start`, removed by `stop`.
        logs: in it, the output of each part.
        url: the API's address.
        environ: variables that every part gets, and by which a test can reach the same servers.
        children: the parts that were started, by name.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, arrange: Arrange | None = None) -> None:
        """Plan a stack; nothing is started yet.

        Args:
            environ: settings for its parts, on top of this process's environment.
            arrange: gets the parts, all planned and none started, and returns those to run: the same, others in
                their place, or more. The variables of the stack are set by then.
        """
        self.folder = Path(tempfile.gettempdir()).resolve() / f"dubline-{secrets.token_hex(6)}"
        self.logs = self.folder / "logs"
        self.environ = {**inherited(), **(environ or {})}
        self.children: dict[str, Child] = {}
        self.url = ""
        self._arrange: Arrange = arrange or tuple
        self._ready: set[str] = set()
        self._sweeper: Sweeper | None = None

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
        """An API key of the one tenant; there is one once the stack is up."""
        return self.children[KEY].output().split()[-1]

    def start(self, check: Callable[[], None] = lambda: None, only: Iterable[str] | None = None) -> None:
        """Start the parts and wait until they are ready.

        Args:
            check: called often; what it raises ends the start.
            only: names of the parts to start; all of them if None.

        Raises:
            EmbeddedError: a server is not installed, or a part failed or was not ready in time.
        """
        self._sweeper = Sweeper()
        parts = tuple(self._arrange(self._plan(self._sweeper)))
        if only is not None:
            wanted = frozenset(only)
            parts = tuple(part for part in parts if part.name in wanted)
        while len(self._ready) < len(parts):
            check()
            self._launch(parts, self._sweeper)
            self._look()
            time.sleep(PAUSE_S)

    def check(self) -> None:
        """Look after the parts of a running stack.

        Raises:
            PartFailed: one that should serve has ended.
        """
        for child in self.children.values():
            code = child.exit_code()
            if child.part.is_ready and code is not None:
                raise PartFailed(child.part.name, f"stopped with exit code {code}", child.tail())

    def restart(self, name: str) -> None:
        """Start a part again, with everything it kept in its folder, and wait until it is ready.

        One that still runs is asked to stop first. The bucket keeps its objects in memory and comes back empty.

        Raises:
            PartFailed: it ended, or was not ready in time.
        """
        if self._sweeper is None:
            raise EmbeddedError("The stack is not up.")
        old = self.children[name]
        old.terminate()
        old.reap(RESTART_WITHIN_S)
        again = self.children[name] = Child(old.part, self.logs, self.environ, self.folder, self._sweeper)
        while not _is_ready(again):
            time.sleep(PAUSE_S)

    def forget(self, name: str) -> None:
        """Stop looking after a part that has ended."""
        self.children.pop(name).reap(0)

    def stop(self) -> None:
        """Stop every process, those first that use the others, and remove the folder."""
        children = self.children.values()
        for last in (False, True):
            group = [child for child in children if child.part.last is last]
            for child in group:
                child.terminate()
            deadline = time.monotonic() + STOP_WITHIN_S
            for child in group:
                child.reap(deadline - time.monotonic())
        if self._sweeper:
            self._sweeper.close()
            self._sweeper = None

    def watch(self, pid: int, stop_signal: int) -> None:
        """Have another process stopped too if this one dies."""
        if self._sweeper:
            self._sweeper.watch(pid, stop_signal)

    def unwatch(self, pid: int) -> None:
        """Say that such a process has ended."""
        if self._sweeper:
            self._sweeper.forget(pid)

    def _plan(self, sweeper: Sweeper) -> tuple[Part, ...]:
        sweeper.watch_folder(self.folder)
        # PostgreSQL's own user has to pass through, but may not look around.
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

    def _launch(self, parts: tuple[Part, ...], sweeper: Sweeper) -> None:
        for part in parts:
            if part.name not in self.children and part.needs <= self._ready:
                self.children[part.name] = Child(part, self.logs, self.environ, self.folder, sweeper)

    def _look(self) -> None:
        for name, child in self.children.items():
            if name not in self._ready and _is_ready(child):
                self._ready.add(name)
                if child.part.is_ready is None:
                    child.let_go()
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
