"""The schedule of faults is determined by its seed and has the requested amounts."""

from __future__ import annotations

from collections import Counter

from benchmarks.chaos.faults.schedule import KILLS, LAST_SHARE, OTHER_FAULTS, FaultKind, schedule

DURATION_S = (1.0, 3.0)


def test_equal_seeds_draw_equal_schedules_and_other_seeds_others() -> None:
    assert schedule(1, 40, 1, DURATION_S) == schedule(1, 40, 1, DURATION_S) != schedule(2, 40, 1, DURATION_S)


def test_the_schedule_has_the_requested_number_of_each_fault() -> None:
    drawn = Counter(fault.kind for fault in schedule(7, 1000, 3, DURATION_S))
    assert sum(drawn[kind] for kind in KILLS) == 1000
    assert {drawn[kind] for kind in OTHER_FAULTS} == {3}
    assert (drawn[FaultKind.KILL_WORKER], drawn[FaultKind.KILL_MAINTENANCE], drawn[FaultKind.KILL_API]) == (20, 5, 5)


def test_faults_are_sorted_and_due_before_the_last_jobs() -> None:
    due = [fault.due for fault in schedule(3, 100, 2, DURATION_S)]
    assert due == sorted(due)
    assert due[0] >= 0
    assert due[-1] <= LAST_SHARE
