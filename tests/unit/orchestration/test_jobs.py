from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from dubline.orchestration.domain.batches import Batch
from dubline.orchestration.domain.jobs import CLAIMABLE, FINAL, INITIAL_STATES, TRANSITIONS, JobState


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(JobState)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_final_state_has_no_transitions(state: JobState) -> None:
    assert not TRANSITIONS[state]


@pytest.mark.parametrize("state", sorted(CLAIMABLE))
def test_a_claimable_job_can_run(state: JobState) -> None:
    assert JobState.RUNNING in TRANSITIONS[state]


def test_every_state_is_reachable_and_leads_to_a_final_one() -> None:
    reached: set[JobState] = set(INITIAL_STATES)
    for _ in JobState:
        reached |= {after for state in reached for after in TRANSITIONS[state]}
    assert reached == set(JobState)
    terminating = set(FINAL)
    for _ in JobState:
        terminating |= {state for state in JobState if TRANSITIONS[state] & terminating}
    assert terminating == set(JobState)


@pytest.mark.parametrize(
    ("counts", "finished"),
    [
        ({JobState.SUCCEEDED: 2, JobState.FAILED: 1}, True),
        ({JobState.SUCCEEDED: 2, JobState.RUNNING: 1}, False),
    ],
)
def test_a_batch_is_finished_when_all_its_jobs_are_final(counts: dict[JobState, int], finished: bool) -> None:
    batch = Batch(id=uuid4(), tenant="a", row_count=3, created_at=datetime.now(UTC), counts=counts)
    assert batch.finished is finished
