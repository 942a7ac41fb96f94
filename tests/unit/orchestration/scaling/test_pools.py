"""The division of waiting work between pools."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dubline.orchestration.scaling.policy import Policy
from dubline.orchestration.scaling.pools import divide


def pool(name: str, price: float, ceiling: int, *presets: str) -> Policy:
    return Policy(
        pool=name,
        presets=frozenset(presets),
        price_per_hour=price,
        ceiling=ceiling,
        target_s=1000.0,
        cold_start_s=300.0,
        cooldown_s=300.0,
        start_limit_s=900.0,
    )


CHEAP = pool("cheap", 1.0, 2, "tiny", "base")
FAST = pool("fast", 3.0, 10, "base", "large")


def test_work_goes_to_the_cheapest_pool_that_renders_the_preset() -> None:
    shares = divide({("cheap", "base"): 1500.0, ("fast", "base"): 900.0}, [FAST, CHEAP])
    assert shares == {("cheap", "base"): 1.0, ("fast", "base"): 0.0}


def test_a_faster_pool_with_a_higher_price_may_be_the_cheapest() -> None:
    assert divide({("cheap", "base"): 1500.0, ("fast", "base"): 300.0}, [CHEAP, FAST])["fast", "base"] == 1.0


def test_work_beyond_the_room_of_a_pool_goes_to_the_next() -> None:
    shares = divide({("cheap", "base"): 8000.0, ("fast", "base"): 4000.0}, [CHEAP, FAST])
    assert shares == {("cheap", "base"): 0.25, ("fast", "base"): 0.75}


def test_a_preset_with_one_pool_is_placed_first() -> None:
    device_s = {("cheap", "base"): 2000.0, ("fast", "base"): 900.0, ("cheap", "tiny"): 2000.0}
    assert divide(device_s, [CHEAP, FAST]) == {("cheap", "tiny"): 1.0, ("cheap", "base"): 0.0, ("fast", "base"): 1.0}


def test_a_blocked_pool_gets_only_what_no_other_renders() -> None:
    device_s = {("cheap", "base"): 500.0, ("fast", "base"): 400.0, ("cheap", "tiny"): 500.0}
    shares = divide(device_s, [CHEAP, FAST], blocked=frozenset({"cheap"}))
    assert shares == {("cheap", "tiny"): 1.0, ("fast", "base"): 1.0}


def test_a_pool_without_workers_gets_only_what_no_other_renders() -> None:
    closed = pool("closed", 1.0, 0, "base", "tiny")
    device_s = {("closed", "base"): 1e6, ("fast", "base"): 1e6, ("closed", "tiny"): 500.0}
    # Beyond the room of the other pool, too, and while its workers do not become ready.
    for blocked in ((), ("fast",)):
        shares = divide(device_s, [closed, FAST], blocked=frozenset(blocked))
        assert shares == {("fast", "base"): 1.0, ("closed", "tiny"): 1.0}


@given(st.dictionaries(st.sampled_from(["tiny", "base", "large"]), st.floats(0.0, 1e6), min_size=1))
@settings(max_examples=20)
def test_no_work_is_left_out_however_small_the_pools(backlog_s: dict[str, float]) -> None:
    pools = [CHEAP, FAST]
    shares = divide({(one.pool, preset): backlog_s[preset] for one in pools for preset in backlog_s}, pools)
    for preset in backlog_s:
        total = sum(share for (_, name), share in shares.items() if name == preset)
        assert total == pytest.approx(1.0)
