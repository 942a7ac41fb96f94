"""A started part: a process group whose output is written to files."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dubline.embedded.cleanup import CleanupProcess
    from dubline.embedded.fork_server import Forked, ForkServer
    from dubline.embedded.part import Part

_TAIL_LINES: Final = 20
_TAIL_BYTES: Final = 16_384


class Child:
    """A part that has been started.

    It has a session of its own, so that Ctrl-C in the terminal does not stop it; the stack stops parts in order.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - where it runs, and who stops it
        self,
        part: Part,
        logs: Path,
        environ: Mapping[str, str],
        folder: Path,
        cleanup: CleanupProcess,
        forks: ForkServer | None = None,
    ) -> None:
        self.part = part
        self.log = logs / f"{part.name}.log"
        self._output = logs / f"{part.name}.out"
        self._cleanup = cleanup
        self._started_s = time.monotonic()
        self._released = False
        environ, folder = {**environ, **part.environ}, part.folder or folder
        # Appended, because the log of a restarted part contains the reason of its end.
        with self.log.open("ab") as log, self._output.open("ab") as output:
            if forks is not None and part.forked:
                self._process: Forked | subprocess.Popen[bytes] = forks.start(part.argv, environ, folder, output, log)
            else:
                self._process = _program(part, environ, folder, output, log)
        cleanup.watch(-self.pid, part.stop_signal)

    @property
    def pid(self) -> int:
        """Id of the process and of its process group."""
        return self._process.pid

    @property
    def age_s(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self._started_s

    def exit_code(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """Return everything that was written to standard output."""
        return self._output.read_text(errors="replace")

    def tail(self) -> str:
        """Return the last lines of its output."""
        return "\n".join(line for path in (self._output, self.log) for line in _last_lines(path))

    def terminate(self) -> None:
        """Send the stop signal."""
        if self.exit_code() is None:
            self._process.send_signal(self.part.stop_signal)

    def kill(self) -> None:
        """Kill the process group, unless it was released."""
        if self._released:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self.release()

    def release(self) -> None:
        """Mark the process group as ended, so that no signal is sent to a reused process id."""
        self._released = True
        self._cleanup.forget(-self.pid)

    def reap(self, timeout_s: float) -> None:
        """Wait for the process to end, then kill the rest of its group, unless it was released."""
        if not self._released:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(max(timeout_s, 0))
        self.kill()


def _program(
    part: Part, environ: Mapping[str, str], folder: Path, output: IO[bytes], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    account = part.account
    return subprocess.Popen(
        part.argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=log,
        env=environ,
        cwd=folder,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def _last_lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _TAIL_BYTES, 0))
        return file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
