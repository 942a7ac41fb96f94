"""Requests to stop, kept as a fact to be asked for.

An exception out of a signal handler could fly between the start of a process and the note that it exists.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final, Self

from dubline.embedded.errors import Interrupted

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Remembers the first SIGINT, SIGTERM or SIGHUP while it is entered; main thread only."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        for signum in _SIGNALS:
            self._before[signum] = signal.signal(signum, self._keep)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def check(self) -> None:
        """Let a stop through.

        Raises:
            Interrupted: somebody asked to stop.
        """
        if self.signum is not None:
            raise Interrupted(self.signum)

    def _keep(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
