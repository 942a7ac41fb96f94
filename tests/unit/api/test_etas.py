from __future__ import annotations

from typing import Any

import pytest

from dubline.api.etas import _last
from dubline.orchestration.domain.eta import Eta

SOON, LATE = Eta(seconds=5.0, error_s=3.0), Eta(seconds=9.0, error_s=1.0)


class View:
    """Returns the prediction that stands for a job."""

    def eta(self, job: Any) -> Any:
        return job


@pytest.mark.parametrize(
    ("jobs", "expected"), [([SOON, LATE], LATE), ([LATE, SOON], LATE), ([SOON, None], None), ([None], None), ([], None)]
)
def test_a_batch_is_done_with_its_last_job_if_all_are_known(jobs: list[Any], expected: Eta | None) -> None:
    view: Any = View()
    assert _last(view, jobs) == expected
