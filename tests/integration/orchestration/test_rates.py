from __future__ import annotations

import asyncio
import math
import socket
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from dubline.orchestration.domain.rates import burst, count
from dubline.orchestration.rates import PAUSE_S, Rates

if TYPE_CHECKING:
    from dubline.orchestration.domain.rates import Counted


@pytest.mark.parametrize(("per_s", "at_once"), [(0.3, 3), (0.13, 1)])
def test_valkey_counts_as_the_rule_does(broker_url: str, per_s: float, at_once: int) -> None:
    tenant = f"tenant-{uuid4()}"

    async def run() -> list[Counted]:
        rates = Rates(broker_url)
        counted = [await rates.count(tenant, per_s) for _ in range(5)]
        await rates.close()
        return counted

    # At this rate the time of the test itself adds less than one request.
    assert math.floor(burst(per_s)) == at_once
    full_at_s, expected = 0.0, []
    for _ in range(5):
        full_at_s, one = count(full_at_s, 0.0, per_s)
        expected.append(one)
    found = asyncio.run(run())
    assert [one.allowed for one in found] == [one.allowed for one in expected]
    assert [one.allowed for one in found] == [True] * at_once + [False] * (5 - at_once)
    assert [one.remaining for one in found] == [one.remaining for one in expected]
    assert [one.full_s for one in found] == pytest.approx([one.full_s for one in expected], abs=2)
    assert [one.wait_s for one in found] == pytest.approx([one.wait_s for one in expected], abs=2)


def test_two_processes_share_the_requests_of_a_tenant(broker_url: str) -> None:
    tenant = f"tenant-{uuid4()}"

    async def run() -> list[bool]:
        processes = [Rates(broker_url), Rates(broker_url)]
        allowed = [(await processes[n % 2].count(tenant, 0.4)).allowed for n in range(6)]
        for one in processes:
            await one.close()
        return allowed

    assert asyncio.run(run()) == [True] * 4 + [False] * 2


def test_without_valkey_requests_are_counted_in_the_process() -> None:
    now_s = 0.0

    async def run() -> list[bool]:
        nonlocal now_s
        rates = Rates("redis://127.0.0.1:1/0", clock=lambda: now_s)
        allowed = [(await rates.count("acme", 0.1)).allowed for _ in range(2)]
        now_s = PAUSE_S * 2
        return [*allowed, (await rates.count("acme", 0.1)).allowed]

    assert asyncio.run(run()) == [True, False, True]


def test_a_silent_valkey_is_asked_once_and_then_left_alone() -> None:
    async def run(url: str) -> list[bool]:
        rates = Rates(url, clock=lambda: 7.0)
        return [(await rates.count("acme", 0.2)).allowed for _ in range(3)]

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert asyncio.run(run(f"redis://127.0.0.1:{server.getsockname()[1]}/0")) == [True, True, False]
        server.accept()[0].close()
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_valkey_is_asked_again_after_the_pause() -> None:
    now_s = 7.0

    async def run(server: socket.socket) -> None:
        nonlocal now_s
        rates = Rates(f"redis://127.0.0.1:{server.getsockname()[1]}/0", clock=lambda: now_s)
        for _ in range(2):
            await rates.count("acme", 1.0)
            server.accept()[0].close()
            now_s += PAUSE_S
        await rates.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        asyncio.run(run(server))
