"""Writes down how an attempt ended, through an outage of the database that is shorter than its lease."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger(__name__)

PAUSE_S: Final = 0.5


def insist(write: Callable[[], object], within_s: float) -> None:
    """Write, and again after each failure of the database.

    A commit whose answer was lost makes the next try find the lease gone, which is then true: the attempt has ended.

    Args:
        write: one fenced write.
        within_s: after that the rescuer is as quick.

    Raises:
        DatabaseUnavailableError: it stayed away.
        LeaseLostError: the work was taken away, or the lost answer was a yes.
    """
    until = time.monotonic() + within_s
    while True:
        try:
            write()
        except DatabaseUnavailableError:
            if time.monotonic() + PAUSE_S > until:
                raise
            _log.warning("outcome_not_written_yet")
            time.sleep(PAUSE_S)
        else:
            return
