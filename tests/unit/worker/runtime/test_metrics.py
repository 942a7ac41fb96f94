from __future__ import annotations

from typing import Final

import pytest
from prometheus_client import REGISTRY

from dubline.orchestration.domain import errors
from dubline.orchestration.domain.jobs import Outcome
from dubline.orchestration.domain.retry import BUDGETS, Fail, decide
from dubline.worker.runtime import metrics

FAULTS: Final = (
    errors.OutOfMemoryError(),
    errors.StorageUnavailableError(),
    errors.DeviceFailedError(),
    errors.EncoderFailedError(),
    ZeroDivisionError(),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("earlier", [0, 1000])
def test_the_first_failure_of_each_kind_is_an_increase(fault: Exception, earlier: int) -> None:
    metrics.begin_counts("own")
    decision = decide(fault, dict.fromkeys(BUDGETS, earlier))
    outcome = Outcome.FAILED if isinstance(decision, Fail) else Outcome.RETRIED
    labels = {"pool": "own", "outcome": outcome.value, "cause": decision.cause.value}
    assert REGISTRY.get_sample_value("dubline_worker_attempts_total", labels) == 0
