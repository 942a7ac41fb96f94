from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from dubline.orchestration import rates as rates_module
from dubline.orchestration.domain.rates import Counted, burst, count
from dubline.orchestration.rates import Rates

if TYPE_CHECKING:
    import pytest


@given(per_s=st.floats(0.01, 1000), delays_s=st.lists(st.floats(0, 3), max_size=200))
def test_a_bucket_allows_its_burst_and_then_its_rate(per_s: float, delays_s: list[float]) -> None:
    now_s, full_at_s, allowed = 100.0, 0.0, 0
    for delay_s in delays_s:
        now_s += delay_s
        full_at_s, counted = count(full_at_s, now_s, per_s)
        allowed += counted.allowed
        assert allowed <= burst(per_s) + per_s * (now_s - 100) + 1e-6
        assert counted.allowed == (counted.wait_s == 0)
        # A request is allowed after the time that was stated.
        assert count(full_at_s, now_s + counted.wait_s + 1e-6, per_s)[1].allowed or counted.allowed


def test_the_numbers_of_a_bucket_that_is_used_up_and_fills_again() -> None:
    full_at_s, first = count(0.0, 100.0, 4)
    assert first == Counted(allowed=True, remaining=39, full_s=0.25, wait_s=0.0)
    for _ in range(39):
        full_at_s, last = count(full_at_s, 100.0, 4)
    assert last == Counted(allowed=True, remaining=0, full_s=10.0, wait_s=0.0)
    full_at_s, refused = count(full_at_s, 100.125, 4)
    assert refused == Counted(allowed=False, remaining=0, full_s=9.875, wait_s=0.125)
    full_at_s, later = count(full_at_s, 105.0, 4)
    assert later == Counted(allowed=True, remaining=19, full_s=5.25, wait_s=0.0)


def test_at_a_low_rate_one_request_is_allowed_at_once() -> None:
    assert (burst(0.01), burst(0.25)) == (1.0, 2.5)


def test_a_refused_request_costs_nothing() -> None:
    full_at_s = 0.0
    for _ in range(100):
        full_at_s, counted = count(full_at_s, 0.0, 1)
    assert (counted.allowed, counted.remaining, counted.wait_s) == (False, 0, 1)
    assert count(full_at_s, 1.0, 1)[1].allowed


def test_a_tenant_does_not_use_up_the_requests_of_another() -> None:
    async def run() -> list[bool]:
        rates = Rates(clock=lambda: 7.0)
        return [(await rates.count(tenant, 0.1)).allowed for tenant in ("acme", "acme", "globex")]

    assert asyncio.run(run()) == [True, False, True]


def test_a_process_forgets_the_tenant_that_sent_least_recently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_module, "MOST_TENANTS", 2)

    async def run() -> list[bool]:
        rates = Rates(clock=lambda: 7.0)
        return [(await rates.count(tenant, 0.1)).allowed for tenant in ("a", "b", "a", "c", "a", "b")]

    # The third request of a is its refused second one; b was forgotten for c.
    assert asyncio.run(run()) == [True, True, False, True, False, True]
