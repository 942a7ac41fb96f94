"""Writes down how an attempt ended, through an outage of the database that is shorter than its lease."""

import time
from collections.abc import Callable

import structlog

from dubline.orchestration.domain.errors import DatabaseUnavailableError

log = structlog.get_logger(__name__)

PAUSE_S = 0.5


def insist(write: Callable[[], object], within_s: float) -> None:
    """Writes, and again after each failure of the database.

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
            log.warning("outcome_not_written_yet")
            time.sleep(PAUSE_S)
        else:
            return
