"""A small campaign against the real stack: every fault once, no job lost or committed twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.chaos import checker
from benchmarks.chaos.faults.schedule import OTHER_FAULTS
from benchmarks.chaos.history import History, read
from benchmarks.chaos.phases import light
from benchmarks.chaos.testbed.testbed import API, MAINTENANCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.forks import Forks

# Few jobs, because the start of the stack takes most of the time. The seed draws a schedule in which a worker is paused
# early, the API is killed before the last batch is sent, and the last kill comes well before the last job.
PLAN = light.Plan(
    seed=148,
    jobs=60,
    kills=7,
    rounds=1,
    workers=3,
    batch=8,
    fault_s=(0.3, 0.8),
    lease_s=4.0,
    heartbeat_s=1.0,
    preference_s=0.5,
    duration_factor=60.0,
)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Path:
    folder = tmp_path_factory.mktemp("chaos")
    path = folder / "history.jsonl"
    with forks.embedded(), History(path) as history:
        light.run(PLAN, history, folder)
    return path


def test_no_job_is_lost_or_committed_twice_under_every_fault(history: Path) -> None:
    verdict = checker.check(read(history))
    assert (verdict.jobs, verdict.lost, verdict.committed_twice) == (PLAN.jobs, (), ())
    assert verdict.sound


def test_killed_jobs_are_claimed_again_after_their_lease(history: Path) -> None:
    verdict = checker.check(read(history))
    assert verdict.kills == PLAN.kills
    assert verdict.kills_of_held >= PLAN.kills // 3
    assert len(verdict.recoveries_s) == verdict.kills_of_held
    # A job of a killed worker cannot be claimed before its lease expires.
    assert verdict.recovery_s(0.5) > PLAN.lease_s - PLAN.heartbeat_s - 1.0


def test_every_fault_is_injected(history: Path) -> None:
    events = [event for event in read(history) if event["what"] in {"fault_started", "fault_skipped", "paused"}]
    assert {event["fault"] for event in events} >= set(OTHER_FAULTS)
    roles = {event["role"] for event in read(history) if event["what"] == "killed"}
    assert {"child", MAINTENANCE, API} < roles


def test_a_worker_whose_device_always_fails_is_quarantined(history: Path) -> None:
    assert any(event["what"] == "quarantined" for event in read(history))


def test_writes_of_a_paused_worker_are_refused(history: Path) -> None:
    events = list(read(history))
    if not any(event["what"] == "paused" for event in events):
        pytest.skip("no worker could be paused while it held a job")
    assert checker.check(events).zombie_writes_refused > 0
