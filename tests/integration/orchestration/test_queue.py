from __future__ import annotations

import json
import time

import pytest
import redis

from dubline.orchestration.domain.errors import BrokerUnavailableError
from dubline.orchestration.queue import (
    NOTIFICATION_LIMIT,
    PROBE,
    PROBE_QUEUE,
    RENDER,
    RENDER_QUEUE,
    Notifier,
    create_app,
)


def test_a_notification_has_a_task_name_and_no_arguments(notifier: Notifier, broker_url: str) -> None:
    assert notifier.notify_renderers() == 1
    with redis.Redis.from_url(broker_url) as connection:
        (raw,) = connection.lrange(RENDER_QUEUE, 0, -1)
    message = json.loads(raw)
    assert message["headers"]["task"] == "dubline.render"
    assert message["headers"]["argsrepr"] == "()"
    assert message["content-type"] == "application/json"


def test_probers_and_renderers_have_separate_queues(notifier: Notifier) -> None:
    notifier.notify_probers(3)
    assert (notifier.queue_length(PROBE_QUEUE), notifier.queue_length(RENDER_QUEUE)) == (3, 0)


def test_each_new_job_sends_one_notification(notifier: Notifier) -> None:
    assert [notifier.notify_renderers() for _ in range(3)] == [1, 1, 1]
    assert notifier.queue_length(RENDER_QUEUE) == 3


def test_topping_up_counts_messages_in_the_queue(notifier: Notifier) -> None:
    assert notifier.notify_renderers(5, top_up=True) == 5
    assert notifier.notify_renderers(5, top_up=True) == 0
    assert notifier.notify_renderers(3, top_up=True) == 0
    assert notifier.notify_renderers(7, top_up=True) == 2


def test_a_large_batch_sends_a_bounded_number_of_messages(notifier: Notifier) -> None:
    assert notifier.notify_renderers() == 1
    assert notifier.notify_renderers(10_000) == NOTIFICATION_LIMIT - 1
    assert notifier.notify_renderers() == 0
    assert notifier.notify_renderers(10_000, top_up=True) == 0
    assert notifier.notify_renderers(0) == 0


def test_a_worker_retries_its_broker_connection_forever(broker_url: str) -> None:
    assert create_app(broker_url).conf.broker_connection_max_retries is None


def test_one_call_notifies_both_queues(notifier: Notifier) -> None:
    notifier.notify({RENDER: 3, PROBE: 2})
    notifier.notify({RENDER: 1})
    assert (notifier.queue_length(RENDER_QUEUE), notifier.queue_length(PROBE_QUEUE)) == (4, 2)


def test_an_unavailable_broker_is_reported_within_seconds() -> None:
    notifier = Notifier(create_app("redis://127.0.0.1:1/0"))
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        notifier.notify({RENDER: 3})
    with pytest.raises(BrokerUnavailableError):
        notifier.queue_length(RENDER_QUEUE)
    assert time.monotonic() - started < 4
    notifier.close()
