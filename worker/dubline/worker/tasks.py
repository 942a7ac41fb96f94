"""The Celery side of a worker: it hears wake-ups and passes them on as nudges, and does no work itself.

A message carries nothing, and the store says what to work on. The solo pool runs the task in this process, so one
wake-up is taken at a time and the next stays with the broker until the child is idle again.
"""

from __future__ import annotations

import socket
import time
import uuid
from typing import TYPE_CHECKING, Final

import structlog
from celery.worker import state

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

_log = structlog.get_logger(__name__)

#: Before a consumer that ended unasked is followed by another.
PAUSE_S: Final = 2.0


def register(app: Celery, name: str, nudge: Callable[[], None]) -> None:
    """Make a task known to a Celery application.

    Args:
        app: of this worker.
        name: of the task.
        nudge: called for each message.
    """

    @app.task(name=name)  # type: ignore[untyped-decorator]
    def look() -> None:
        nudge()


def listen(app: Celery, queue: str, stopping: Callable[[], bool]) -> None:
    """Consume a queue until `stop`, through any outage of the broker.

    Args:
        app: with the task.
        queue: where its messages come from.
        stopping: whether `stop` was called for good.
    """
    while not stopping():
        # Without the command line's worker, which installs signal handlers and logs of its own.
        worker = app.WorkController(
            hostname=f"{queue}-{uuid.uuid4().hex[:8]}@{socket.gethostname()}",
            queues=[queue],
            pool="solo",
            concurrency=1,
            without_gossip=True,
            without_mingle=True,
        )
        worker.start()
        if not stopping():
            _log.error("listener_ended", exit_code=worker.exitcode)
            time.sleep(PAUSE_S)


def stop() -> None:
    """Let `listen` return within about a second; for signal handlers."""
    state.should_stop = 0
