"""Testbed: the embedded stack with chosen workers, a proxy in front of the bucket, and access to every process."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from benchmarks.chaos.faults.defect import DEFECT_FILE
from benchmarks.chaos.testbed.processes import children_of
from benchmarks.chaos.testbed.proxy import Proxy

from dubline.embedded import Stack
from dubline.embedded.application import API, MAINTENANCE, RENDERER
from dubline.embedded.ports import LOOPBACK, responds
from dubline.embedded.servers.broker import NAME as BROKER
from dubline.embedded.servers.database import NAME as DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from dubline.embedded.part import Part

ROOT: Final = Path(__file__).parents[3]
REAL_WORKER: Final = ("-m", "dubline.worker", "render")
STOP_WITHIN_S: Final = 10.0

__all__ = ["API", "BROKER", "DATABASE", "MAINTENANCE", "REAL_WORKER", "Testbed"]


class Testbed:
    """Running stack whose parts can be killed, stopped and started one by one.

    Args:
        worker: arguments of the Python process that runs a renderer.
        workers: number of renderers.
        environ: settings of all parts.
        scratch: scratch folder of the first renderer; None means the one of the stack.

    Attributes:
        stack: the parts.
        proxy: proxy between the service and the bucket; set on entering the context.
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
        """Address of the database in the form of libpq."""
        return self.stack.environ["DUBLINE_DATABASE_URL"].replace("+psycopg", "", 1)

    def logs(self) -> dict[str, Path]:
        """Return the log file of each renderer."""
        return {name: self.stack.logs / f"{name}.log" for name in self.workers}

    def children(self, name: str) -> tuple[int, ...]:
        """Return the process ids of all descendants of a part; none while it is down."""
        return children_of(self.stack.children[name].pid)

    def kill(self, name: str) -> tuple[int, ...]:
        """SIGKILL a part with its descendants, as when its container ends; return their process ids."""
        pids = (self.stack.children[name].pid, *self.children(name))
        self.stack.children[name].kill()
        return pids

    def stop(self, name: str) -> None:
        """Stop a part with its stop signal and wait until it has ended."""
        child = self.stack.children[name]
        child.terminate()
        child.reap(STOP_WITHIN_S)

    def restart(self, name: str) -> None:
        """Start a part again and wait until it is ready.

        Raises:
            PartFailed: the part ended or was not ready in time.
        """
        self.stack.restart(name)

    def set_defect(self, name: str, defect: str) -> None:
        """Give a light worker a defect, the name of a fault; an empty one ends it."""
        self._defect_file(name).write_text(defect, encoding="utf-8")

    def _defect_file(self, name: str) -> Path:
        return self.stack.folder / f"{name}.defect"

    def flush_broker(self) -> bool:
        """Delete everything in the broker; return whether the broker confirmed it."""
        port = urlsplit(self.stack.environ["DUBLINE_BROKER_URL"]).port or 0
        return responds(port, b"FLUSHALL\r\n", b"+OK")

    def _arrange(self, parts: tuple[Part, ...]) -> Iterable[Part]:
        environ = self.stack.environ
        self.proxy = self._open.enter_context(Proxy(urlsplit(environ["DUBLINE_BUCKET_ENDPOINT_URL"]).port or 0))
        proxy_url = f"http://{LOOPBACK}:{self.proxy.port}"
        environ |= {"DUBLINE_BUCKET_ENDPOINT_URL": proxy_url, "DUBLINE_BUCKET_PUBLIC_URL": proxy_url}
        for part in parts:
            if part.name != RENDERER:
                yield part
                continue
            for name in self.workers:
                yield replace(part, name=name, argv=self._worker, environ={**part.environ, **self._environ_of(name)})

    def _environ_of(self, name: str) -> dict[str, str]:
        first = name == self.workers[0]
        scratch = {"DUBLINE_WORKER_SCRATCH_DIR": str(self._scratch)} if first and self._scratch else {}
        return {DEFECT_FILE: str(self._defect_file(name)), **scratch}
