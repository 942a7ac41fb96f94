"""A worker whose children are forked by a fork server that has imported everything.

Supervisor and child are those of `dubline.worker`. A thousand killed children must not cost a thousand starts of an
interpreter, which take one to two CPU seconds each.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dubline.orchestration.settings import BucketSettings
from dubline.orchestration.storage.objects import Objects
from dubline.worker import __main__ as worker
from dubline.worker import child

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.worker.executors.factory import WorkerContext
    from dubline.worker.executors.render import RenderExecutor

    Make = Callable[[WorkerContext], RenderExecutor]

CHILD_PROXY: Final = Path(__file__).with_name("child_proxy.py")
LOADED_WITHIN_S: Final = 120.0
#: Exit code of a child that ended by a signal or an error.
FAILED: Final = 1


def serve(make: Make) -> int:
    """Run one renderer until a signal stops it; return its exit code.

    Args:
        make: makes the executor of a child.
    """
    with tempfile.TemporaryDirectory(prefix="light-") as folder:
        address = str(Path(folder) / "fork")
        own_end, fork_server_end = socket.socketpair()
        if os.fork() == 0:
            own_end.close()
            os._exit(_serve_forks(make, address, fork_server_end))
        fork_server_end.close()
        with own_end:
            own_end.settimeout(LOADED_WITHIN_S)
            own_end.recv(1)
            # -I -S: with the standard library only, the child proxy starts in a few milliseconds.
            return worker.serve("render", (sys.executable, "-I", "-S", str(CHILD_PROXY), address))


def _serve_forks(make: Make, address: str, parent: socket.socket) -> int:
    """Fork a child for each child proxy that connects, one after another, until the parent has ended."""
    # Imported before the first fork, so that every child has the executor's modules and boto's description of S3.
    import dubline.worker.executors.render  # noqa: F401, PLC0415

    Objects(BucketSettings.read())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        parent.send(b".")
        while True:
            ready, _, _ = select.select([listener, parent], [], [])
            if parent in ready:
                return 0
            child_proxy, _ = listener.accept()
            with child_proxy:
                _fork_child(make, child_proxy, (listener, parent, child_proxy))


def _fork_child(make: Make, child_proxy: socket.socket, inherited: tuple[socket.socket, ...]) -> None:
    """Fork a child, wait for it and send its exit code to its child proxy."""
    folder, (channel_fd, *_), _, _ = socket.recv_fds(child_proxy, 4096, 1)
    pid = os.fork()
    if pid == 0:
        for one in inherited:
            one.close()
        _run_child(make, channel_fd, Path(folder.decode()))
    os.close(channel_fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        child_proxy.sendall(bytes([code if code >= 0 else FAILED]))
    except OSError:
        # The child proxy was killed together with the parent; the next `select` returns the parent's socket.
        return


def _run_child(make: Make, channel_fd: int, folder: Path) -> None:
    code = FAILED
    try:
        code = child.work(make, channel_fd, folder)
    finally:
        sys.stderr.flush()
        os._exit(code)
