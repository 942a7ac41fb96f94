"""Servers of the tests, which end even if the process of the tests is killed."""

from __future__ import annotations

import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dubline.embedded.cleanup import CleanupProcess


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(
    argv: Sequence[str | Path], stop: signal.Signals, cleanup: CleanupProcess, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server; send it a signal at the end, and wait for its end.

    An interrupt of the process that started those of a parallel run ends them without the ends of their fixtures. The
    cleanup process then stops the server.
    """
    with subprocess.Popen(argv, **options) as process:
        cleanup.watch(process.pid, stop)
        try:
            yield process
        finally:
            process.send_signal(stop)
    cleanup.forget(process.pid)
