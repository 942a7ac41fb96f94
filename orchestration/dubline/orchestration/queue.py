"""Wake-ups over Celery: a message says only that there may be work, never which.

The row is the truth. A message lost, doubled or late changes nothing but how soon a worker looks, so messages
are acknowledged early and no result is kept. Only the relay sends them, after the rows are committed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from dubline.orchestration.domain.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu.connection import Connection

RENDER: Final = "dubline.render"
#: Names of the two tasks; neither takes arguments.
PROBE: Final = "dubline.probe"
RENDER_QUEUE: Final = "render"
PROBE_QUEUE: Final = "probe"

#: Most messages that may wait in one queue; the control process sends more while rows stay unclaimed.
WAKE_LIMIT: Final = 64
CONNECT_TIMEOUT_S: Final = 1.0
SOCKET_TIMEOUT_S: Final = 10.0

_QUEUE_OF: Final = {RENDER: RENDER_QUEUE, PROBE: PROBE_QUEUE}


def create_app(broker_url: str) -> Celery:
    """Make the Celery application of a sender or a worker. Opens no connection.

    Args:
        broker_url: `redis://host:port/number`.
    """
    app = Celery("dubline", broker=broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_routes={task: {"queue": queue} for task, queue in _QUEUE_OF.items()},
        task_default_queue=RENDER_QUEUE,
        task_acks_late=False,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        # Celery gives up after a hundred tries by itself; a worker is to outlive any outage of the broker.
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_TIMEOUT_S,
        broker_transport_options={
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": SOCKET_TIMEOUT_S,
        },
    )
    return app


class Waker:
    """Tells idle workers to look at the database.

    Every method but `close` may raise BrokerUnavailableError, after a second where nobody answers and after
    `SOCKET_TIMEOUT_S` where the broker fell silent. Some messages may have been sent then.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, counts: Mapping[str, int]) -> None:
        """Say how many more rows became claimable, by the name of the task that they wait for."""
        for task, n in counts.items():
            self._wake(task, n, top_up=False)

    def wake_renderer(self, n: int = 1, *, top_up: bool = False) -> int:
        """Say that `n` more jobs became claimable; return how many messages were sent.

        At most `WAKE_LIMIT` wait at a time.

        Args:
            n: jobs.
            top_up: `n` are all claimable jobs, so messages that wait already are some of theirs.
        """
        return self._wake(RENDER, n, top_up=top_up)

    def wake_prober(self, n: int = 1, *, top_up: bool = False) -> int:
        """Say that `n` more uploads wait for their probe; as `wake_renderer`."""
        return self._wake(PROBE, n, top_up=top_up)

    def waiting(self, queue: str) -> int:
        """Message waiting in a queue."""
        with self._connected() as connection:
            return _waiting(connection, queue)

    def close(self) -> None:
        """Close the connections to the broker."""
        self._app.close()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        # One connection per call: a millisecond, and none that a restarted broker or a fork has broken.
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=0)
                yield connection
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerUnavailableError from error

    def _wake(self, task: str, n: int, *, top_up: bool) -> int:
        if n <= 0:
            return 0
        with self._connected() as connection:
            waiting = _waiting(connection, _QUEUE_OF[task])
            # Two senders of one message each must not take the other's for their own.
            missing = max(0, min(n - waiting if top_up else n, WAKE_LIMIT - waiting))
            for _ in range(missing):
                self._app.send_task(task, connection=connection, retry=False)
        return missing


def _waiting(connection: Connection, queue: str) -> int:
    # A passive declaration fails on an empty Redis list; the transport's own count does not.
    return int(connection.default_channel._size(queue))  # type: ignore[no-untyped-call]  # noqa: SLF001
