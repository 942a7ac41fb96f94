from __future__ import annotations

import pytest

from dubline.orchestration.maintenance.sweep import JOBLESS_MAX, MOST_MIN, SweepResult


@pytest.mark.parametrize(
    ("objects", "orphans", "jobless", "refused"),
    [
        # More than half of the objects, and more than a few.
        (MOST_MIN, MOST_MIN, 0, False),
        (MOST_MIN + 1, MOST_MIN + 1, 0, True),
        (2 * MOST_MIN + 1, MOST_MIN + 1, 0, True),
        (2 * MOST_MIN + 2, MOST_MIN + 1, 0, False),
        # Few of the objects, however many.
        (1_000_000, 400_000, JOBLESS_MAX, False),
        (1_000_000, 400_000, JOBLESS_MAX + 1, True),
    ],
)
def test_a_sweep_is_refused_where_the_database_seems_old(
    objects: int, orphans: int, jobless: int, *, refused: bool
) -> None:
    assert SweepResult(objects=objects, orphans=orphans, jobless=jobless).refused is refused
