"""A running part: a process group with its output in files of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dubline.embedded.cleanup import Sweeper
    from dubline.embedded.part import Part

_TAIL_LINES: Final = 20
_TAIL_BYTES: Final = 16_384


class Child:
    """A part that has been started.

    A session of its own keeps the terminal's Ctrl-C away from it: the stack is taken down in order, by us.
    """

    def __init__(self, part: Part, logs: Path, environ: Mapping[str, str], folder: Path, sweeper: Sweeper) -> None:
        self.part = part
        self.log = logs / f"{part.name}.log"
        self._output = logs / f"{part.name}.out"
        self._sweeper = sweeper
        self._began = time.monotonic()
        self._gone = False
        account = part.account
        # Appended, because a part that is started again must not wipe out why it ended.
        with self.log.open("ab") as log, self._output.open("ab") as output:
            self._process = subprocess.Popen(
                part.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env={**environ, **part.environ},
                cwd=part.folder or folder,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        sweeper.watch(-self.pid, part.stop_signal)

    @property
    def pid(self) -> int:
        """Process id, which is the id of its group too."""
        return self._process.pid

    @property
    def age_s(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self._began

    def exit_code(self) -> int | None:
        """Tell how it ended; None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """Everything it wrote to standard output."""
        return self._output.read_text(errors="replace")

    def tail(self) -> str:
        """The last lines that it wrote."""
        return "\n".join(line for path in (self._output, self.log) for line in _last_lines(path))

    def terminate(self) -> None:
        """Ask it to stop."""
        if self.exit_code() is None:
            self._process.send_signal(self.part.stop_signal)

    def kill(self) -> None:
        """End its whole group by force, unless it was let go."""
        if self._gone:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Forget the number of what has ended and left nothing: soon somebody else's group may have it."""
        self._gone = True
        self._sweeper.forget(-self.pid)

    def reap(self, timeout_s: float) -> None:
        """Wait for it to end, then end by force whatever is left of its group, unless it was let go."""
        if not self._gone:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(max(timeout_s, 0))
        self.kill()


def _last_lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _TAIL_BYTES, 0))
        return file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
