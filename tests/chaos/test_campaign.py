"""A small campaign against the real stack: every fault once, and nothing lost, doubled or unexplained."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from benchmarks.chaos import checker
from benchmarks.chaos.faults.schedule import KILLS, OTHERS, Kind
from benchmarks.chaos.history import History, read
from benchmarks.chaos.phases import light

if TYPE_CHECKING:
    from pathlib import Path

SMALL = light.Plan(
    seed=5,
    jobs=200,
    kills=15,
    each=1,
    workers=3,
    batch=50,
    spell_s=(0.3, 0.8),
    lease_s=4.0,
    heartbeat_s=1.0,
    stretch=60.0,
)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chaos")
    path = folder / "history.jsonl"
    with History(path) as history:
        light.run(SMALL, history, folder)
    return path


def test_under_every_fault_nothing_is_lost_or_committed_twice(history: Path) -> None:
    verdict = checker.check(read(history))
    assert (verdict.jobs, verdict.lost, verdict.committed_twice) == (SMALL.jobs, (), ())
    assert verdict.sound


def test_the_kills_hit_workers_that_held_jobs_and_the_jobs_were_claimed_again(history: Path) -> None:
    verdict = checker.check(read(history))
    assert verdict.kills == SMALL.kills
    assert verdict.kills_of_held >= SMALL.kills // 3
    assert len(verdict.recoveries_s) == verdict.kills_of_held
    # What was killed stays with the dead until its lease has run out.
    assert verdict.recovery_s(0.5) > SMALL.lease_s - SMALL.heartbeat_s - 1.0


def test_every_fault_was_carried_out(history: Path) -> None:
    seen = Counter(
        event.get("fault") or event["what"]
        for event in read(history)
        if event["what"] in {"fault_began", "fault_skipped", "paused", Kind.FLUSH_BROKER}
    )
    seen[Kind.PAUSE_CHILD] += seen.pop("paused", 0)
    assert {kind for kind in Kind if seen[kind]} >= set(OTHERS) - KILLS
    roles = {event["role"] for event in read(history) if event["what"] == "killed"}
    assert {"child", "control", "api"} < roles


def test_the_paused_worker_was_refused(history: Path) -> None:
    events = list(read(history))
    if not any(event["what"] == "paused" for event in events):
        pytest.skip("nobody could be paused while holding a job")
    assert checker.check(events).zombie_writes_refused > 0
