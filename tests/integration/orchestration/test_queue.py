from __future__ import annotations

import json
import time

import pytest
import redis

from dubline.orchestration.domain.errors import BrokerUnavailableError
from dubline.orchestration.queue import PROBE, PROBE_QUEUE, RENDER, RENDER_QUEUE, WAKE_LIMIT, Waker, create_app


def test_a_wake_up_carries_a_name_and_no_arguments(waker: Waker, broker_url: str) -> None:
    assert waker.wake_renderer() == 1
    with redis.Redis.from_url(broker_url) as connection:
        (raw,) = connection.lrange(RENDER_QUEUE, 0, -1)
    message = json.loads(raw)
    assert message["headers"]["task"] == "dubline.render"
    assert message["headers"]["argsrepr"] == "()"
    assert message["content-type"] == "application/json"


def test_each_kind_of_worker_has_a_queue_of_its_own(waker: Waker) -> None:
    waker.wake_prober(3)
    assert (waker.waiting(PROBE_QUEUE), waker.waiting(RENDER_QUEUE)) == (3, 0)


def test_each_new_job_sends_a_wake_up_of_its_own(waker: Waker) -> None:
    assert [waker.wake_renderer() for _ in range(3)] == [1, 1, 1]
    assert waker.waiting(RENDER_QUEUE) == 3


def test_topping_up_sends_only_what_does_not_wait_already(waker: Waker) -> None:
    assert waker.wake_renderer(5, top_up=True) == 5
    assert waker.wake_renderer(5, top_up=True) == 0
    assert waker.wake_renderer(3, top_up=True) == 0
    assert waker.wake_renderer(7, top_up=True) == 2


def test_a_large_batch_sends_a_bounded_number_of_wake_ups(waker: Waker) -> None:
    assert waker.wake_renderer() == 1
    assert waker.wake_renderer(10_000) == WAKE_LIMIT - 1
    assert waker.wake_renderer() == 0
    assert waker.wake_renderer(10_000, top_up=True) == 0
    assert waker.wake_renderer(0) == 0


def test_a_worker_never_stops_looking_for_the_broker(broker_url: str) -> None:
    assert create_app(broker_url).conf.broker_connection_max_retries is None


def test_new_rows_of_both_kinds_are_told_at_once(waker: Waker) -> None:
    waker.send({RENDER: 3, PROBE: 2})
    waker.send({RENDER: 1})
    assert (waker.waiting(RENDER_QUEUE), waker.waiting(PROBE_QUEUE)) == (4, 2)


def test_a_dead_broker_is_one_error_and_costs_little_time() -> None:
    waker = Waker(create_app("redis://127.0.0.1:1/0"))
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        waker.send({RENDER: 3})
    with pytest.raises(BrokerUnavailableError):
        waker.waiting(RENDER_QUEUE)
    assert time.monotonic() - started < 4
    waker.close()
