from __future__ import annotations

from itertools import accumulate, pairwise

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


@given(st.lists(st.lists(st.floats(0.5, 100), min_size=1, max_size=30), min_size=2, max_size=4), st.data())
def test_waiting_tenants_get_equal_time_up_to_their_largest_jobs(
    batches: list[list[float]], data: st.DataObject
) -> None:
    order = sorted(
        (key, tenant, cost_s)
        for tenant, costs_s in enumerate(batches)
        for key, cost_s in zip(order_keys(0.0, 0.0, costs_s)[0], costs_s, strict=True)
    )
    # While both tenants have waiting jobs.
    first, second = data.draw(st.permutations(range(len(batches))))[:2]
    got = {tenant: [cost_s if of == tenant else 0.0 for _, of, cost_s in order] for tenant in (first, second)}
    for served in zip(*(accumulate(got[tenant]) for tenant in (first, second)), strict=True):
        if all(done < sum(batches[tenant]) - 1e-6 for done, tenant in zip(served, (first, second), strict=True)):
            assert abs(served[0] - served[1]) <= max(batches[first]) + max(batches[second]) + 1e-6


@given(st.lists(SECONDS.map(lambda cost_s: cost_s + 0.5), min_size=1, max_size=50), st.integers(0, 49))
def test_a_new_tenant_waits_for_one_job_of_a_busy_one(costs_s: list[float], claimed: int) -> None:
    keys, _ = order_keys(0.0, 0.0, costs_s)
    clock = keys[min(claimed, len(keys) - 1)]
    (key,), _ = order_keys(clock, 0.0, [1.0])
    assert sum(clock < other < key for other in keys) == 0
