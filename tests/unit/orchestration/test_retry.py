from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dubline.orchestration import errors
from dubline.orchestration.jobs import ATTEMPT_BUDGET, Cause
from dubline.orchestration.retry import LONGEST_DELAY_S, Fail, Retry, decide, pause_s


def test_bad_input_is_never_tried_again() -> None:
    decision = decide(errors.NoFaceError("Only a cat."), charged=1)
    assert decision == Fail(cause=Cause.BAD_INPUT, code="no_face", detail="Only a cat.")


def test_a_transient_failure_is_tried_again_after_a_pause() -> None:
    decision = decide(errors.StorageUnavailableError(), charged=1)
    assert isinstance(decision, Retry)
    assert (decision.cause, decision.code, decision.delay_s) == (Cause.TRANSIENT, "storage_unavailable", 2.0)


def test_the_last_attempt_ends_the_job_and_names_what_it_ended_with() -> None:
    decision = decide(errors.EncoderFailedError("Exit code 1."), charged=ATTEMPT_BUDGET)
    assert isinstance(decision, Fail)
    assert decision.code == "attempts_exhausted"
    assert "encoder_failed: Exit code 1." in decision.detail


@pytest.mark.parametrize("error", [errors.OutOfMemoryError(), MemoryError()])
def test_a_job_that_does_not_fit_is_tried_once_more(error: BaseException) -> None:
    assert isinstance(decide(error, charged=1), Retry)
    assert isinstance(decide(error, charged=2), Fail)


def test_a_defect_tells_the_tenant_nothing_of_our_insides() -> None:
    decision = decide(ZeroDivisionError("secret path"), charged=1)
    assert isinstance(decision, Retry)
    assert (decision.cause, decision.code) == (Cause.DEFECT, "internal")
    assert "secret" not in decision.detail


@given(st.integers(1, 10**6))
def test_pauses_grow_and_stay_bounded(charged: int) -> None:
    assert 0 < pause_s(charged) <= pause_s(charged + 1) <= LONGEST_DELAY_S


@given(st.sampled_from(errors._tree(errors.DublineError)), st.integers(ATTEMPT_BUDGET, 50))
def test_no_error_is_retried_beyond_the_budget(cls: type[errors.DublineError], charged: int) -> None:
    assert isinstance(decide(cls(), charged), Fail)
