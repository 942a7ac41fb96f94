"""The decision how many workers a pool is to have."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dubline.orchestration.scaling.decision import Decision, Reason, decide
from dubline.orchestration.scaling.observation import Observation
from dubline.orchestration.scaling.policy import Basis, Policy
from dubline.orchestration.scaling.state import FIRST_PAUSE_S, LONGEST_PAUSE_S, State

POLICY = Policy(pool="gpu", ceiling=20, target_s=1000.0, cold_start_s=300.0, cooldown_s=600.0, start_limit_s=900.0)
DEPTH = replace(POLICY, basis=Basis.DEPTH, jobs_per_worker=10)
EMPTY = Observation(at_s=0.0, requested=0, idle=0, busy=0, starting_ages_s=(), waiting=0, running=0, backlog_s=0.0)
EXAMPLES = settings(max_examples=40)


def queue(
    backlog_s: float, at_s: float = 0.0, idle: int = 0, busy: int = 0, ages_s: tuple[float, ...] = ()
) -> Observation:
    """Observe a queue with jobs of 100 device seconds."""
    jobs = math.ceil(backlog_s / 100.0)
    return Observation(
        at_s=at_s,
        requested=idle + busy + len(ages_s),
        idle=idle,
        busy=busy,
        starting_ages_s=ages_s,
        waiting=max(jobs - busy, 0),
        running=busy,
        backlog_s=backlog_s,
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    cold_start_s = draw(st.floats(0.0, 900.0))
    floor = draw(st.integers(0, 8))
    return Policy(
        pool="gpu",
        floor=floor,
        ceiling=floor + draw(st.integers(0, 40)),
        basis=draw(st.sampled_from(Basis)),
        target_s=draw(st.floats(1.0, 7200.0)),
        jobs_per_worker=draw(st.integers(1, 80)),
        cold_start_s=cold_start_s,
        cooldown_s=cold_start_s + draw(st.floats(0.0, 900.0)),
        start_limit_s=cold_start_s + draw(st.floats(1.0, 900.0)),
        step_up=draw(st.integers(1, 50)),
        step_down=draw(st.integers(1, 50)),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    idle, busy = draw(st.integers(0, 20)), draw(st.integers(0, 20))
    ages_s = tuple(draw(st.lists(st.floats(0.0, math.inf), max_size=8)))
    return Observation(
        at_s=draw(st.floats(0.0, 1e4)),
        requested=idle + busy + len(ages_s),
        idle=idle,
        busy=busy,
        starting_ages_s=ages_s,
        waiting=draw(st.integers(0, 10_000)),
        running=busy,
        backlog_s=draw(st.floats(0.0, 1e6)),
    )


@st.composite
def states(draw: st.DrawFn) -> State:
    counts = sorted(draw(st.sets(st.integers(0, 50), max_size=4)), reverse=True)
    return State(
        targets=tuple((float(at_s) - 100.0, count) for at_s, count in enumerate(counts)),
        ready=draw(st.integers(0, 20)),
        failures=draw(st.integers(0, 30)),
        resume_at_s=draw(st.floats(-math.inf, 2e4)),
    )


def obey(decision: Decision, at_s: float, backlog_s: float, busy: int = 0) -> Observation:
    """Observe a cluster that has done at once what was decided."""
    return queue(backlog_s, at_s, idle=decision.workers - busy, busy=busy)


@given(observations(), policies(), states())
@EXAMPLES
def test_the_count_is_never_outside_floor_and_ceiling(seen: Observation, policy: Policy, state: State) -> None:
    workers = decide(seen, policy, state).workers
    assert policy.floor <= workers <= max(policy.ceiling, seen.busy or 0)


@given(observations(), policies(), states())
@EXAMPLES
def test_busy_workers_are_never_removed(seen: Observation, policy: Policy, state: State) -> None:
    assert decide(seen, policy, state).workers >= (seen.busy or 0)


@given(observations(), policies(), states(), st.integers(0, 10_000), st.floats(0.0, 1e6))
@EXAMPLES
def test_more_work_never_means_fewer_workers(
    seen: Observation, policy: Policy, state: State, waiting: int, backlog_s: float
) -> None:
    more = replace(seen, waiting=(seen.waiting or 0) + waiting, backlog_s=(seen.backlog_s or 0.0) + backlog_s)
    assert decide(more, policy, state).workers >= decide(seen, policy, state).workers


@given(observations(), policies(), states())
@EXAMPLES
def test_one_decision_adds_and_removes_no_more_than_a_step(seen: Observation, policy: Policy, state: State) -> None:
    workers = decide(seen, policy, state).workers
    assert workers <= max(seen.requested + policy.step_up, policy.floor)
    stuck = seen.stuck(policy.start_limit_s)
    assert workers >= min(seen.requested - stuck - policy.step_down, policy.ceiling)


@pytest.mark.parametrize("name", ["idle", "busy", "waiting", "running", "backlog_s", "starting_ages_s"])
@given(observations(), policies(), states())
@settings(max_examples=5)
def test_an_unknown_number_holds_the_count(name: str, seen: Observation, policy: Policy, state: State) -> None:
    decision = decide(replace(seen, **{name: None}), policy, state)
    assert (decision.workers, decision.reason, decision.missing) == (seen.requested, Reason.MISSING, (name,))
    assert decision.state == state


@pytest.mark.parametrize("number", [math.nan, math.inf, -1.0])
def test_a_number_that_cannot_be_true_is_unknown(number: float) -> None:
    assert decide(replace(queue(500.0, idle=3), backlog_s=number), POLICY, State()).workers == 3


@given(policies(), st.floats(0.0, 1e5), st.integers(0, 40), st.floats(0.0, 1e5))
@settings(max_examples=20)
def test_after_the_cooldown_the_target_is_reached(policy: Policy, backlog_s: float, idle: int, before_s: float) -> None:
    decision = decide(queue(before_s, idle=idle), policy, State())
    period_s = 15.0 + policy.cooldown_s / 20.0
    for number in range(1, 70):
        decision = decide(obey(decision, number * period_s, backlog_s), policy, decision.state)
    assert decision.workers == min(max(policy.wanted(decision.observation), policy.floor), policy.ceiling)


@given(policies(), st.floats(0.0, 1e5), st.integers(0, 8))
@settings(max_examples=20)
def test_under_constant_load_the_count_changes_in_one_direction(policy: Policy, backlog_s: float, idle: int) -> None:
    decision = decide(queue(backlog_s, idle=idle), policy, State())
    counts = [idle, decision.workers]
    for number in range(1, 40):
        decision = decide(obey(decision, number * 60.0, backlog_s), policy, decision.state)
        counts.append(decision.workers)
    assert counts in (sorted(counts), sorted(counts, reverse=True))


def test_a_steady_stream_of_work_starts_few_workers() -> None:
    """Two and a half workers' work arrives without end; removed and added workers are counted for ten hours."""
    decision, backlog_s, added, period_s = decide(EMPTY, POLICY, State()), 0.0, 0, 30.0
    for number in range(1, 1200):
        backlog_s = max(backlog_s + 2.5 * period_s - decision.workers * period_s, 0.0)
        busy = min(decision.workers, math.ceil(backlog_s / 100.0))
        before = decision.workers
        decision = decide(obey(decision, number * period_s, backlog_s, busy), POLICY, decision.state)
        added += max(decision.workers - before, 0)
    # Each cooldown could remove a worker and the next minute add it again: that would be 60.
    assert added <= 15


@pytest.mark.parametrize(
    ("seen", "policy", "workers", "reason"),
    [
        (EMPTY, POLICY, 0, Reason.STEADY),
        (queue(1.0), POLICY, 1, Reason.UP),
        (queue(3500.0), POLICY, 4, Reason.UP),
        (queue(3500.0, ages_s=(60.0, 60.0, 60.0, 60.0)), POLICY, 4, Reason.STEADY),
        (queue(3500.0, busy=2, ages_s=(60.0,)), POLICY, 4, Reason.UP),
        (queue(99_000.0), POLICY, 20, Reason.CEILING),
        (queue(99_000.0), replace(POLICY, step_up=3), 3, Reason.STEP),
        (EMPTY, replace(POLICY, floor=2), 2, Reason.FLOOR),
        (queue(500.0, busy=4), POLICY, 4, Reason.BUSY),
        (queue(0.0, idle=4), POLICY, 4, Reason.COOLDOWN),
        (replace(EMPTY, waiting=15, backlog_s=99_000.0), DEPTH, 2, Reason.UP),
        (replace(EMPTY, waiting=3), POLICY, 1, Reason.UP),
        (replace(EMPTY, backlog_s=1e-12), POLICY, 0, Reason.STEADY),
    ],
)
def test_each_decision_names_its_reason(seen: Observation, policy: Policy, workers: int, reason: Reason) -> None:
    decision = decide(seen, policy, State())
    assert (decision.workers, decision.reason) == (workers, reason)
    assert decision.observation == seen


def test_idle_workers_leave_after_the_cooldown_down_to_zero() -> None:
    decision = decide(queue(3500.0, busy=4), POLICY, State())
    counts = []
    for at_s in (30.0, 570.0, 630.0):
        decision = decide(obey(decision, at_s, 0.0), POLICY, decision.state)
        counts.append((decision.workers, decision.reason))
    assert counts == [(4, Reason.COOLDOWN), (4, Reason.COOLDOWN), (0, Reason.DOWN)]


def test_idle_workers_leave_in_steps() -> None:
    policy, counts = replace(POLICY, step_down=3), []
    decision = decide(queue(0.0, idle=10), policy, State())
    for at_s in (630.0, 660.0, 690.0, 720.0):
        decision = decide(obey(decision, at_s, 0.0), policy, decision.state)
        counts.append((decision.workers, decision.reason))
    assert counts == [(7, Reason.STEP), (4, Reason.STEP), (1, Reason.STEP), (0, Reason.DOWN)]


def test_a_process_that_was_restarted_removes_no_worker_at_once() -> None:
    assert decide(queue(0.0, idle=7), POLICY, State()).workers == 7


def test_workers_that_never_become_ready_are_withdrawn_and_paused() -> None:
    stuck = queue(9500.0, at_s=1000.0, busy=5, ages_s=(950.0,) * 5)
    decision = decide(stuck, POLICY, State(ready=5))
    assert (decision.workers, decision.reason, decision.stuck) == (5, Reason.FAILED_STARTS, 5)
    soon = decide(queue(9500.0, at_s=1030.0, busy=5), POLICY, decision.state)
    assert (soon.workers, soon.reason) == (5, Reason.FAILED_STARTS)
    later = decide(queue(9500.0, at_s=1000.0 + FIRST_PAUSE_S, busy=5), POLICY, soon.state)
    assert (later.workers, later.reason) == (10, Reason.UP)


def test_the_pause_grows_until_a_worker_becomes_ready() -> None:
    waits_s, at_s, state = [], 0.0, State()
    for _ in range(9):
        decision = decide(queue(9500.0, at_s=at_s, ages_s=(math.inf,) * 10), POLICY, state)
        assert decision.workers == 0
        state = decision.state
        waits_s.append(state.resume_at_s - at_s)
        at_s = state.resume_at_s
    assert waits_s == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, LONGEST_PAUSE_S]
    assert decide(queue(9500.0, at_s=at_s, busy=1), POLICY, state).state.failures == 0


def test_workers_within_the_floor_are_not_withdrawn() -> None:
    stuck = queue(0.0, ages_s=(math.inf,) * 2)
    assert decide(stuck, replace(POLICY, floor=2), State()).workers == 2


@pytest.mark.parametrize(
    "change",
    [
        {"floor": 21},
        {"floor": -1},
        {"target_s": 0.0},
        {"target_s": math.nan},
        {"jobs_per_worker": 0},
        {"cooldown_s": 299.0},
        {"start_limit_s": 300.0},
        {"step_up": 0},
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"gpu is not valid: .*{next(iter(change))}.*expected"):
        replace(POLICY, **change)


@pytest.mark.parametrize(("idle", "busy"), [(1, 0), (0, 1)])
def test_a_worker_that_became_ready_ends_the_series_of_failed_starts(idle: int, busy: int) -> None:
    state = State(targets=((0.0, 1),), ready=0, failures=3, resume_at_s=50.0)
    assert decide(queue(100.0, 100.0, idle=idle, busy=busy), POLICY, state).state.failures == 0
    assert decide(queue(100.0, 100.0, ages_s=(10.0,)), POLICY, state).state.failures == 3
    # One that was ready before proves nothing.
    assert decide(queue(100.0, 100.0, idle=idle, busy=busy), POLICY, replace(state, ready=1)).state.failures == 3


def test_a_stuck_worker_beside_a_ready_one_continues_the_series() -> None:
    state = State(targets=((0.0, 1),), ready=0, failures=3, resume_at_s=50.0)
    after = decide(queue(100.0, 100.0, busy=1, ages_s=(math.inf,)), POLICY, state).state
    assert (after.failures, after.resume_at_s) == (4, 100.0 + FIRST_PAUSE_S * 2**3)
    # A pause in progress is not prolonged.
    again = decide(queue(100.0, 101.0, busy=1, ages_s=(math.inf,)), POLICY, after).state
    assert (again.failures, again.resume_at_s) == (4, after.resume_at_s)
