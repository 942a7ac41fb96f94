from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dubline.orchestration.domain import errors
from dubline.orchestration.domain.jobs import Cause
from dubline.orchestration.domain.retry import (
    BUDGETS,
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    Fail,
    Retry,
    backoff_s,
    charged_after,
    decide,
)


def test_bad_input_is_never_retried() -> None:
    decision = decide(errors.NoFaceError("The picture shows a cat."), {})
    assert decision == Fail(cause=Cause.BAD_INPUT, code="no_face", detail="The picture shows a cat.")


def test_a_transient_failure_is_retried_after_a_delay() -> None:
    decision = decide(errors.StorageUnavailableError(), {}, jitter=0)
    assert isinstance(decision, Retry)
    assert (decision.cause, decision.code, decision.delay_s) == (Cause.TRANSIENT, "storage_unavailable", 2.0)


def test_the_last_attempt_fails_the_job_with_its_last_error() -> None:
    decision = decide(errors.EncoderFailedError("Exit code 1."), {Cause.DEFECT: 2})
    assert isinstance(decision, Fail)
    assert (decision.cause, decision.code) == (Cause.DEFECT, "attempts_exhausted")
    assert decision.detail.startswith("3 attempts failed (cause: defect)")
    assert "encoder_failed: Exit code 1." in decision.detail


def test_a_storage_outage_of_an_hour_fails_no_job() -> None:
    waited_s, failures = 0.0, 0
    while isinstance(
        decision := decide(errors.StorageUnavailableError(), {Cause.TRANSIENT: failures}, jitter=-1), Retry
    ):
        waited_s += decision.delay_s
        failures += 1
    assert failures + 1 == BUDGETS[Cause.TRANSIENT]
    assert 3600 < waited_s < 2 * 3600


def test_each_cause_has_its_own_budget() -> None:
    charged = {Cause.TRANSIENT: 47, Cause.WORKER_LOST: 1, Cause.DEFECT: 2}
    lost = decide(errors.WorkerLostError(), charged, jitter=0)
    assert isinstance(lost, Retry)
    assert lost.delay_s == 4.0
    assert isinstance(decide(errors.StorageUnavailableError(), charged), Fail)
    assert isinstance(decide(KeyError(), charged), Fail)


def test_progress_resets_lost_workers_and_transient_failures() -> None:
    charged = {cause: budget - 1 for cause, budget in BUDGETS.items()}
    assert charged_after(charged, made_progress=False) == charged
    assert charged_after(charged, made_progress=True) == {Cause.DEFECT: 2, Cause.OUT_OF_MEMORY: 1}


@pytest.mark.parametrize("error", [errors.OutOfMemoryError(), MemoryError()])
def test_an_out_of_memory_error_is_retried_once(error: BaseException) -> None:
    assert isinstance(decide(error, {}), Retry)
    assert isinstance(decide(error, {Cause.OUT_OF_MEMORY: 1}), Fail)


def test_a_defect_does_not_expose_internals() -> None:
    decision = decide(ZeroDivisionError("secret path"), {})
    assert isinstance(decision, Retry)
    assert (decision.cause, decision.code) == (Cause.DEFECT, "internal")
    assert "secret" not in decision.detail


@given(st.integers(1, 10**6))
def test_delays_grow_up_to_a_limit(charged: int) -> None:
    assert 0 < backoff_s(charged, 0) <= backoff_s(charged + 1, 0) <= LONGEST_DELAY_S


@given(st.integers(1, 50))
def test_jitter_changes_a_delay_by_at_most_a_quarter(count: int) -> None:
    middle = backoff_s(count, 0)
    assert (backoff_s(count, -1), backoff_s(count, 1)) == (0.75 * middle, 1.25 * middle)
    assert 0.75 * middle <= backoff_s(count) <= 1.25 * middle


def test_random_delays_differ() -> None:
    assert len({backoff_s(5) for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errors.DeviceFailedError(), Cause.WORKER_LOST),
        (errors.ScratchFullError(), Cause.TRANSIENT),
        (errors.BrokerUnavailableError(), Cause.TRANSIENT),
    ],
)
def test_failures_of_the_machine_are_retried(error: errors.DublineError, cause: Cause) -> None:
    decision = decide(error, {})
    assert isinstance(decision, Retry)
    assert decision.cause is cause


@given(st.sampled_from(errors._subtree(errors.DublineError)), st.integers(0, 50))
def test_no_error_is_retried_beyond_its_budget(cls: type[errors.DublineError], more: int) -> None:
    assert isinstance(decide(cls(), {cause: budget - 1 + more for cause, budget in BUDGETS.items()}), Fail)


def test_the_only_worker_waits_for_longer() -> None:
    decisions = [decide(KeyError(), {Cause.DEFECT: count}, jitter=0, alone=True) for count in (0, 1, 2)]
    assert [one.delay_s for one in decisions if isinstance(one, Retry)] == [32.0, 64.0]
    assert isinstance(decisions[2], Fail)


def test_the_only_worker_does_not_wait_for_longer_after_an_outage() -> None:
    decision = decide(errors.StorageUnavailableError(), {}, jitter=0, alone=True)
    assert isinstance(decision, Retry)
    assert decision.delay_s == FIRST_DELAY_S


def test_a_failure_of_a_sick_worker_ends_no_job() -> None:
    assert isinstance(decide(errors.DeviceFailedError(), {Cause.WORKER_LOST: 9}, sick=True), Retry)
    assert isinstance(decide(errors.NoFaceError(), {}, sick=True), Fail)
    outages = {Cause.TRANSIENT: BUDGETS[Cause.TRANSIENT]}
    assert isinstance(decide(errors.StorageUnavailableError(), outages, sick=True), Fail)
