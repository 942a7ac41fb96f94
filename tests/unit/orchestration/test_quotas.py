from __future__ import annotations

import pytest

from dubline.orchestration.domain.errors import QuotaExceededError
from dubline.orchestration.domain.quotas import Holdings, TenantLimits, check_jobs, check_upload

HELD = Holdings(jobs=8, speech_s=80, stored_bytes=800)
LIMITS = TenantLimits(queued_jobs=10, queued_s=100, stored_bytes=1000)


def test_own_limits_precede_the_defaults() -> None:
    own = TenantLimits(queued_jobs=5)
    assert own.over(LIMITS) == TenantLimits(queued_jobs=5, queued_s=100, stored_bytes=1000)


def test_a_tenant_may_reach_its_limits_exactly() -> None:
    check_jobs(HELD, 2, 20, LIMITS)
    check_upload(HELD, 200, LIMITS)
    check_jobs(HELD, 1000, 1000, TenantLimits())
    check_upload(HELD, 1000, TenantLimits())


@pytest.mark.parametrize(
    ("jobs", "speech_s", "said"),
    [
        (3, 1, "3 jobs, the tenant has 8 that are not final, and it may have 10. Wait"),
        (11, 1, "Send smaller requests"),
        (1, 21, "have 80 s, and the tenant may have 100 s. Wait"),
    ],
)
def test_more_jobs_than_the_limit_are_refused_with_advice(jobs: int, speech_s: float, said: str) -> None:
    with pytest.raises(QuotaExceededError, match=said) as caught:
        check_jobs(HELD, jobs, speech_s, LIMITS)
    assert caught.value.retryable == said.endswith("Wait")


def test_more_bytes_than_the_limit_are_refused() -> None:
    with pytest.raises(QuotaExceededError, match="have 800, and it may store 1,000"):
        check_upload(HELD, 201, LIMITS)
    with pytest.raises(QuotaExceededError, match="Send a smaller file") as caught:
        check_upload(HELD, 1001, LIMITS)
    assert not caught.value.retryable


def test_a_request_that_fits_alone_can_be_repeated() -> None:
    full = Holdings(jobs=10, speech_s=100, stored_bytes=1000)
    checks = (
        lambda: check_jobs(full, 10, 0, LIMITS),
        lambda: check_jobs(full, 0, 100, LIMITS),
        lambda: check_upload(full, 1000, LIMITS),
    )
    for check in checks:
        with pytest.raises(QuotaExceededError, match=r"(Wait|wait) ") as caught:
            check()
        assert caught.value.retryable
