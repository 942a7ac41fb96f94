"""The write of an attempt's outcome, retried during a database outage that is shorter than the lease."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger(__name__)

PAUSE_S: Final = 0.5


def retry_write(write: Callable[[], object], within_s: float) -> None:
    """Write, and retry while the database is unavailable.

    If the reply to a successful commit is lost, the next try raises LeaseLostError: the attempt has already ended.

    Args:
        write: one fenced write.
        within_s: no retry begins after this; the lease has then expired and the rescuer takes over.

    Raises:
        DatabaseUnavailableError: the database was unavailable for all of `within_s`.
        LeaseLostError: the lease is lost, or an earlier try succeeded.
    """
    until = time.monotonic() + within_s
    while True:
        try:
            write()
        except DatabaseUnavailableError as error:
            if time.monotonic() + PAUSE_S > until:
                raise
            _log.warning("outcome_not_written_yet", code=error.code, reason=repr(error.__cause__))
            time.sleep(PAUSE_S)
        else:
            return
