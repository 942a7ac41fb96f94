"""The Celery consumer of a worker: each wake-up becomes a notification of the child.

A message has no content; the database determines what to work on. The solo pool runs the task in this process, so a
worker takes one wake-up at a time, and the next stays in the broker until the child is idle.
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

#: Pause before a new consumer replaces one that ended without a stop.
PAUSE_S: Final = 2.0


def register(app: Celery, name: str, notify: Callable[[], None]) -> None:
    """Register the task of a wake-up.

    Args:
        app: Celery application of this worker.
        name: name of the task.
        notify: called for each message.
    """

    @app.task(name=name)  # type: ignore[untyped-decorator]
    def wake_up() -> None:
        notify()


def consume(app: Celery, queue: str, stopping: Callable[[], bool]) -> None:
    """Consume a queue until `stop`, through any outage of the broker.

    Args:
        app: with the registered task.
        queue: queue of the wake-ups.
        stopping: whether the worker stops.
    """
    while not stopping():
        # Celery's command-line worker would install its own signal handlers and logging.
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
            _log.error("consumer_ended", exit_code=worker.exitcode)
            time.sleep(PAUSE_S)


def stop() -> None:
    """Make `consume` return within about a second; safe in signal handlers."""
    state.should_stop = 0
