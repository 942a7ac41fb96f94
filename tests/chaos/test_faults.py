"""The schedule of faults follows from its seed and has what was ordered."""

from __future__ import annotations

from collections import Counter

from benchmarks.chaos.faults.schedule import KILLS, LAST_SHARE, OTHERS, Kind, schedule

SPELL_S = (1.0, 3.0)


def test_the_same_seed_draws_the_same_faults_and_another_draws_others() -> None:
    assert schedule(1, 40, 1, SPELL_S) == schedule(1, 40, 1, SPELL_S) != schedule(2, 40, 1, SPELL_S)


def test_every_fault_is_there_as_often_as_ordered() -> None:
    drawn = Counter(fault.kind for fault in schedule(7, 1000, 3, SPELL_S))
    assert sum(drawn[kind] for kind in KILLS) == 1000
    assert {drawn[kind] for kind in OTHERS} == {3}
    assert (drawn[Kind.KILL_WORKER], drawn[Kind.KILL_CONTROL], drawn[Kind.KILL_API]) == (20, 5, 5)


def test_faults_come_in_order_and_before_the_work_runs_out() -> None:
    due = [fault.due for fault in schedule(3, 100, 2, SPELL_S)]
    assert due == sorted(due)
    assert due[0] >= 0
    assert due[-1] <= LAST_SHARE
