"""Deferred handling of signals.

An exception raised by a signal handler could interrupt the code between starting a process and registering it.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final, Self

from dubline.embedded.errors import Interrupted

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Records the first SIGINT, SIGTERM or SIGHUP within its block; for the main thread only."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        for signum in _SIGNALS:
            self._before[signum] = signal.signal(signum, self._record)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def check(self) -> None:
        """Raise if a signal was received.

        Raises:
            Interrupted: a signal was received.
        """
        if self.signum is not None:
            raise Interrupted(self.signum)

    def _record(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
