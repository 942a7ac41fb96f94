"""The embedded stack as a target: workers of our choice, a proxy before the bucket, and hands on every process."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from benchmarks.chaos.testbed.proxy import Proxy

from dubline.embedded import Stack
from dubline.embedded.application import API, CONTROL, PROBER, RENDERER
from dubline.embedded.ports import LOOPBACK, answers
from dubline.embedded.servers.broker import NAME as BROKER
from dubline.embedded.servers.database import NAME as DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from dubline.embedded.part import Part

ROOT: Final = Path(__file__).parents[3]
REAL_WORKER: Final = ("-m", "dubline.worker", "render")
GONE_WITHIN_S: Final = 10.0
#: Place of a process's start among the fields of its stat file that follow its name.
_STARTED: Final = 19
_CORPSES: Final = frozenset({"Z", "X"})

__all__ = ["API", "BROKER", "CONTROL", "DATABASE", "PROBER", "REAL_WORKER", "Rig"]


class Rig:
    """A running stack whose parts can be killed, stopped and started again one by one.

    Args:
        worker: arguments of the Python that runs a renderer.
        workers: how many.
        environ: settings of all parts.
        scratch: scratch folder of the first worker; that of the stack if None.

    Attributes:
        stack: the parts.
        proxy: the line to the bucket; there once the rig is entered.
        workers: names of the renderers.
    """

    def __init__(
        self, worker: Sequence[str], workers: int, environ: Mapping[str, str], scratch: Path | None = None
    ) -> None:
        self.workers = tuple(f"worker-{number}" for number in range(workers))
        self.stack = Stack({"PYTHONPATH": str(ROOT), **environ}, self._arrange)
        self.proxy: Proxy
        self._worker = (sys.executable, *worker)
        self._scratch = scratch
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._open.enter_context(self.stack)
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def database_url(self) -> str:
        """Address of the rows, as libpq wants it."""
        return self.stack.environ["DUBLINE_DATABASE_URL"].replace("+psycopg", "", 1)

    def logs(self) -> dict[str, Path]:
        """Where each renderer logs."""
        return {name: self.stack.logs / f"{name}.log" for name in self.workers}

    def children(self, name: str) -> tuple[int, ...]:
        """Process ids of everything below a part; none while it is away."""
        return children_of(self.stack.children[name].pid)

    def kill(self, name: str) -> tuple[int, ...]:
        """SIGKILL a part with its children, as the end of its container would; tell whom it hit."""
        hit = (self.stack.children[name].pid, *self.children(name))
        self.stack.children[name].kill()
        return hit

    def shut_down(self, name: str) -> None:
        """Ask a part to stop and wait until it has."""
        child = self.stack.children[name]
        child.terminate()
        child.reap(GONE_WITHIN_S)

    def restart(self, name: str) -> None:
        """Start a part again and wait until it is ready.

        Raises:
            PartFailed: it did not come back.
        """
        self.stack.restart(name)

    def flush_broker(self) -> bool:
        """Make the broker forget everything; tell whether it did."""
        port = urlsplit(self.stack.environ["DUBLINE_BROKER_URL"]).port or 0
        return answers(port, b"FLUSHALL\r\n", b"+OK")

    def _arrange(self, parts: tuple[Part, ...]) -> Iterable[Part]:
        environ = self.stack.environ
        self.proxy = self._open.enter_context(Proxy(urlsplit(environ["DUBLINE_BUCKET_ENDPOINT_URL"]).port or 0))
        line = f"http://{LOOPBACK}:{self.proxy.port}"
        environ |= {"DUBLINE_BUCKET_ENDPOINT_URL": line, "DUBLINE_BUCKET_PUBLIC_URL": line}
        for part in parts:
            if part.name != RENDERER:
                yield part
                continue
            for name in self.workers:
                yield replace(part, name=name, argv=self._worker, environ={**part.environ, **self._own(name)})

    def _own(self, name: str) -> dict[str, str]:
        first = name == self.workers[0]
        return {"DUBLINE_WORKER_SCRATCH_DIR": str(self._scratch)} if first and self._scratch else {}


def children_of(pid: int) -> tuple[int, ...]:
    """Process ids of everything that a process has started, directly or not; nothing where it is gone."""
    found: list[int] = []
    # A child is listed with the thread that started it.
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, listing.read_text().split()):
                found += [child, *children_of(child)]
    return tuple(found)


def age_s(pid: int) -> float:
    """Seconds since a process began; 0 where it has ended, a corpse included."""
    fields = _stat(pid)
    if fields is None:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK")


def send(pid: int, signum: int) -> bool:
    """Send a signal; tell whether there was somebody to get it."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    return True


def kill_child(pid: int) -> bool:
    """SIGKILL one process and wait until it is gone or a corpse; tell whether it was alive."""
    if _stat(pid) is None or not send(pid, signal.SIGKILL):
        return False
    deadline = time.monotonic() + GONE_WITHIN_S
    while _stat(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.005)
    return True


def _stat(pid: int) -> list[str] | None:
    """Fields of a process's stat file after its name; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in _CORPSES else fields
