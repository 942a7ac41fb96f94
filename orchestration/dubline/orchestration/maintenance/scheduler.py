"""The control process: duties that go on beside each other, so that none waits for another's outage.

Any number of these processes may run: each duty has a lock in the database, and who holds it takes the turn.
Nothing is kept between turns, so a process may be killed at any moment, and another one carries on.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.errors import DublineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dubline.orchestration.database.store import Store

#: A turn that failed is repeated after the duty's period, but within these bounds.
PAUSE_MIN_S: Final = 1.0
PAUSE_MAX_S: Final = 60.0
STOP_WITHIN_S: Final = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Something to be done again and again, by one process at a time."""

    name: str
    """For logs."""
    lock: int
    """Number of its lock, no other duty's."""
    period_s: float
    """Seconds between turns."""
    delay_s: float = 0.0
    """Seconds before the first turn."""
    turn: Callable[[], object]
    """One turn; repeating one, or cutting one short, does no harm."""


@contextmanager
def serving(store: Store, duties: Sequence[Duty]) -> Iterator[None]:
    """Take turns at every duty, each in a thread of its own, for the length of the block.

    At the end a turn may finish within `STOP_WITHIN_S`; one that hangs is left to die with the process.
    """
    stop = Event()
    threads = [Thread(target=_serve, args=(store, duty, stop), name=duty.name, daemon=True) for duty in duties]
    for thread in threads:
        thread.start()
    _log.info("control_started", duties=[duty.name for duty in duties])
    try:
        yield
    finally:
        stop.set()
        deadline = monotonic() + STOP_WITHIN_S
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))
        _log.info("control_stopped", hanging=[thread.name for thread in threads if thread.is_alive()])


def take_turn(store: Store, duty: Duty) -> bool:
    """Take one turn at a duty, unless another process is at it.

    Returns:
        Whether this process had the turn.
    """
    with store.lock(duty.lock) as mine:
        if mine:
            duty.turn()
        return mine


def _serve(store: Store, duty: Duty, stop: Event) -> None:
    missed, reason = 0, ""
    stop.wait(duty.delay_s)
    while not stop.is_set():
        before, reason = reason, _miss(store, duty, reason)
        missed = missed + 1 if reason else 0
        if before and not reason:
            _log.info("duty_resumed", duty=duty.name)
        stop.wait(min(max(duty.period_s, PAUSE_MIN_S), PAUSE_MAX_S) if reason else duty.period_s)


def _miss(store: Store, duty: Duty, known: str) -> str:
    """Take one turn, whatever happens; return why it was missed, empty where it was not.

    Only a reason that is not known yet is logged: an outage of an hour is one line, not thousands.
    """
    try:
        take_turn(store, duty)
    except DublineError as error:
        if error.code != known:
            _log.warning("turn_missed", duty=duty.name, code=error.code, reason=repr(error.__cause__))
        return error.code
    except Exception as error:  # noqa: BLE001 - one duty that breaks must not end, nor take others with it
        reason = type(error).__name__
        if reason != known:
            _log.exception("turn_broke", duty=duty.name)
        return reason
    return ""
