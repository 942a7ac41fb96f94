"""Notifications over Celery: a message means that there may be a claimable row; it carries no id.

The row is the source of truth. A lost, duplicate or late message only changes when a worker polls the database, so
messages are acknowledged early and no result is stored. They are sent after the rows are committed.
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

#: Names of the two tasks; neither takes arguments.
RENDER: Final = "dubline.render"
PROBE: Final = "dubline.probe"
RENDER_QUEUE: Final = "render"
PROBE_QUEUE: Final = "probe"

#: Most messages in one queue; the reconciler sends more while rows stay unclaimed.
NOTIFICATION_LIMIT: Final = 64
CONNECT_TIMEOUT_S: Final = 1.0
SOCKET_TIMEOUT_S: Final = 10.0

_QUEUE_OF: Final = {RENDER: RENDER_QUEUE, PROBE: PROBE_QUEUE}


def create_app(broker_url: str) -> Celery:
    """Create the Celery application of a sender or a worker, without opening a connection.

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
        # Celery's default is to give up after 100 tries; a worker must survive every outage of the broker.
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_TIMEOUT_S,
        broker_transport_options={
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": SOCKET_TIMEOUT_S,
        },
    )
    return app


class Notifier:
    """Sends notifications, upon which idle workers poll the database.

    Every method but `close` may raise BrokerUnavailableError: after `CONNECT_TIMEOUT_S` if the broker does not accept
    a connection, after `SOCKET_TIMEOUT_S` if it stops responding. Some messages may have been sent then.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def notify(self, counts: Mapping[str, int]) -> None:
        """Send messages for newly claimable rows.

        Args:
            counts: number of rows by the name of the task that handles them.
        """
        for task, n in counts.items():
            self._send(task, n, top_up=False)

    def notify_renderers(self, n: int = 1, *, top_up: bool = False) -> int:
        """Send messages for `n` claimable jobs, at most until the queue has `NOTIFICATION_LIMIT` messages.

        Args:
            n: number of jobs.
            top_up: `n` counts all claimable jobs, so messages in the queue count towards it.

        Returns:
            The number of messages sent.
        """
        return self._send(RENDER, n, top_up=top_up)

    def notify_probers(self, n: int = 1, *, top_up: bool = False) -> int:
        """Send messages for `n` uploads to be probed; arguments and result as in `notify_renderers`."""
        return self._send(PROBE, n, top_up=top_up)

    def queue_length(self, queue: str) -> int:
        """Count the messages in a queue."""
        with self._connected() as connection:
            return _queue_length(connection, queue)

    def close(self) -> None:
        """Close the connections to the broker."""
        self._app.close()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        # One connection per call costs a millisecond and cannot be stale after a broker restart or a fork.
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=0)
                yield connection
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerUnavailableError from error

    def _send(self, task: str, n: int, *, top_up: bool) -> int:
        if n <= 0:
            return 0
        with self._connected() as connection:
            length = _queue_length(connection, _QUEUE_OF[task])
            # Without `top_up`, messages in the queue belong to other rows and do not count towards `n`.
            missing = max(0, min(n - length if top_up else n, NOTIFICATION_LIMIT - length))
            for _ in range(missing):
                self._app.send_task(task, connection=connection, retry=False)
        return missing


def _queue_length(connection: Connection, queue: str) -> int:
    # A passive declaration fails on an empty Redis list; the transport's private method does not.
    return int(connection.default_channel._size(queue))  # type: ignore[no-untyped-call]  # noqa: SLF001
