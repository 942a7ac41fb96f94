from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dubline.orchestration.domain.fairness import order_keys

SECONDS = st.floats(0, 3600)
CLOCKS = st.floats(0, 1e9)


def test_jobs_of_one_call_are_placed_one_after_another() -> None:
    assert order_keys(0.0, 0.0, [3.0, 5.0, 2.0]) == ([0.0, 3.0, 8.0], 10.0)


def test_an_idle_tenant_starts_at_the_current_position_of_the_queue() -> None:
    assert order_keys(100.0, 7.0, [3.0]) == ([100.0], 103.0)


def test_a_busy_tenant_is_placed_behind_its_own_jobs() -> None:
    assert order_keys(100.0, 500.0, [3.0]) == ([500.0], 503.0)


@given(CLOCKS, CLOCKS, st.lists(SECONDS, max_size=50))
def test_order_keys_are_never_in_the_past_and_keep_the_order(
    queue_s: float, tenant_s: float, costs_s: list[float]
) -> None:
    keys, after_s = order_keys(queue_s, tenant_s, costs_s)
    assert len(keys) == len(costs_s)
    assert all(key >= max(queue_s, tenant_s) for key in keys)
    assert all(earlier <= later for earlier, later in pairwise([*keys, after_s]))


@given(CLOCKS, CLOCKS, st.lists(SECONDS, max_size=20), st.lists(SECONDS, max_size=20))
def test_two_calls_assign_the_same_order_keys_as_one(
    queue_s: float, tenant_s: float, first: list[float], second: list[float]
) -> None:
    keys, middle_s = order_keys(queue_s, tenant_s, first)
    more, after_s = order_keys(queue_s, middle_s, second)
    assert (keys + more, after_s) == order_keys(queue_s, tenant_s, first + second)
