"""Which pods leave, and in which order the controllers remove pods."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dubline.orchestration.cluster.costs import CORRECTED, IDLE, LEAVING, changes, chosen
from dubline.orchestration.cluster.objects import Pod
from dubline.orchestration.cluster.view import Absences
from dubline.orchestration.domain.workers import RunningJob

START = datetime(2026, 1, 31, tzinfo=UTC)


def pod(name: str, *, age_s: float = 0, ready: bool = True, cost: int = 0) -> Pod:
    created_at = START - timedelta(seconds=age_s)
    return Pod(name=name, created_at=created_at, ready=ready, going=False, trouble="", hopeless=False, cost=cost)


def job(pod: str, unsaved_s: float) -> RunningJob:
    values = {"host": pod, "preset": "base", "unsaved_s": unsaved_s, "left_s": 0.0}
    return RunningJob(**{one.name: values[one.name] for one in fields(RunningJob)})  # type: ignore[arg-type]


def running(**unsaved_s: float) -> dict[str, RunningJob]:
    return {name: job(name, seconds) for name, seconds in unsaved_s.items()}


def test_the_youngest_idle_pods_leave() -> None:
    pods = [pod("a", age_s=9), pod("b", age_s=1), pod("c", age_s=5), pod("d", ready=False), pod("e")]
    assert [one.name for one in chosen(pods, running(e=1), 2)] == ["b", "c"]
    assert [one.name for one in chosen(pods, running(e=1), 9)] == ["b", "c", "a"]


def test_a_busy_pod_costs_the_work_that_would_be_lost() -> None:
    pods = [pod(name) for name in "abcd"]
    costs = dict(changes(pods, running(a=0, b=3, c=500), ["d"]))
    assert costs == {"a": 1, "b": 4, "c": 512, "d": LEAVING}


def test_an_idle_pod_that_stays_is_written_before_those_that_leave() -> None:
    assert changes([pod("a"), pod("b"), pod("c")], running(c=1), ["a"]) == [("c", 2), ("b", IDLE), ("a", LEAVING)]


def test_a_cost_that_is_right_is_not_written() -> None:
    assert changes([pod("a", cost=LEAVING), pod("b", cost=IDLE)], {}, ["a"]) == []


def test_a_pod_that_was_to_leave_and_stays_is_always_corrected() -> None:
    many = [pod(f"b{number:04}", cost=LEAVING) for number in range(3 * CORRECTED)]
    others = [pod(f"c{number:04}") for number in range(3 * CORRECTED)]
    written = changes([pod("a"), *many, *others], {one.name: job(one.name, 1) for one in many}, ["a"])
    assert len(written) == 3 * CORRECTED + CORRECTED + 1
    assert written[-1] == ("a", LEAVING)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(-2, 9), st.integers(0, 10_000)), max_size=300), st.integers(0, 300)
)
def test_no_pod_that_stays_has_the_cost_of_one_that_leaves(found: list[tuple[bool, int, int]], count: int) -> None:
    pods = [pod(f"p{number}", cost=cost, age_s=age_s) for number, (_, cost, age_s) in enumerate(found)]
    jobs = {one.name: job(one.name, age_s) for one, (busy, _, age_s) in zip(pods, found, strict=True) if busy}
    leaving = {one.name for one in chosen(pods, jobs, count)}
    after = {one.name: one.cost for one in pods} | dict(changes(pods, jobs, leaving))
    assert not leaving & jobs.keys()
    assert all((after[one.name] == LEAVING) is (one.name in leaving) for one in pods)
    assert min((after[name] for name in after if name not in leaving), default=0) > LEAVING


def test_pods_that_were_requested_are_missed_from_the_first_pass_on() -> None:
    absences = Absences()
    assert absences.ages_s(2, 10.0) == (0.0, 0.0)
    assert absences.ages_s(3, 15.0) == (5.0, 5.0, 0.0)
    assert absences.ages_s(1, 20.0) == (10.0,)
    assert absences.ages_s(0, 25.0) == ()
    assert absences.ages_s(1, 30.0) == (0.0,)
