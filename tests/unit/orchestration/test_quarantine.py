from __future__ import annotations

from dubline.orchestration.domain.quarantine import BLAMED, FAILURES_IN_A_ROW, LONGEST_S, is_sick, quarantine_s
from dubline.orchestration.domain.retry import BUDGETS


def test_a_worker_is_doubted_before_it_alone_ends_a_job() -> None:
    assert max(BUDGETS[cause] for cause in BLAMED) >= FAILURES_IN_A_ROW


def test_a_quarantine_begins_after_three_failures_and_doubles() -> None:
    assert [is_sick(count) for count in (0, FAILURES_IN_A_ROW - 1, FAILURES_IN_A_ROW)] == [False, False, True]
    assert [quarantine_s(count) for count in (2, 3, 4, 5, 100)] == [0, 60, 120, 240, LONGEST_S]
