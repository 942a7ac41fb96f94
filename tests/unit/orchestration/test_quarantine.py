from __future__ import annotations

from dubline.orchestration.domain.quarantine import FAILURES_IN_A_ROW, LONGEST_S, is_sick, quarantine_s


def test_a_quarantine_begins_after_five_failures_and_doubles() -> None:
    assert [is_sick(count) for count in (0, FAILURES_IN_A_ROW - 1, FAILURES_IN_A_ROW)] == [False, False, True]
    assert [quarantine_s(count) for count in (4, 5, 6, 7, 100)] == [0, 60, 120, 240, LONGEST_S]
