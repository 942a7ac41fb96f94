"""The checker on histories with violations: each kind of lost or twice committed job must be found."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.chaos.checker import check

Event = dict[str, Any]


def attempt(number: int, outcome: str | None, started_at: float, ended_at: float | None, pid: int = 7) -> Event:
    return {
        "number": number,
        "worker": f"host:1/{pid}",
        "started_at": started_at,
        "ended_at": ended_at,
        "outcome": outcome,
        "cause": "worker_lost" if outcome == "retried" else None,
        "refused_writes": 0,
    }


def row(job: str, attempts: list[Event], **changed: object) -> Event:
    published = next((one["number"] for one in attempts if one["outcome"] == "succeeded"), 0)
    facts = {"state": "succeeded", "error_code": None, "result_bytes": 9, "stored_bytes": 9}
    event = {"at": 99.0, "what": "row", "job": job, "id": f"id-{job}", "attempts": attempts}
    return event | facts | {"result_key": f"results/id-{job}/{published}-token.mp4"} | changed


def accepted(*jobs: str) -> Event:
    return {"at": 0.0, "what": "accepted", "jobs": list(jobs)}


def committed(job: str, number: int) -> Event:
    return {"at": 3.0, "what": "committed", "id": f"id-{job}", "attempt": number}


def killed(at: float, *pids: int) -> Event:
    return {"at": at, "what": "killed", "role": "child", "pids": list(pids)}


ONCE = [attempt(1, "succeeded", 1.0, 2.0)]


def test_a_history_without_violations_is_sound() -> None:
    verdict = check([accepted("a", "b"), committed("a", 1), row("a", ONCE), row("b", ONCE)])
    assert verdict.sound
    assert (verdict.jobs, verdict.kills, verdict.lost, verdict.committed_twice) == (2, 0, (), ())


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([], "there is no row"),
        ([row("a", [attempt(1, None, 1.0, None)], state="running")], "running"),
        ([row("a", ONCE, state="queued")], "queued"),
        ([row("a", [attempt(1, "failed", 1.0, 2.0)], state="failed", error_code="attempts_exhausted")], "exhausted"),
        ([row("a", ONCE, stored_bytes=None)], "not in the bucket"),
        ([row("a", ONCE, stored_bytes=8)], "8 bytes in the bucket"),
    ],
)
def test_a_lost_job_is_found(events: list[Event], reason: str) -> None:
    (found,) = check([accepted("a", "b"), row("b", ONCE), *events]).lost
    assert found.startswith("a: ")
    assert reason in found


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([row("a", [attempt(1, "succeeded", 1.0, 2.0), attempt(2, "succeeded", 2.0, 3.0)])], "attempts [1, 2]"),
        (
            [committed("a", 1), row("a", [attempt(1, "retried", 1, 2), attempt(2, "succeeded", 2, 3)])],
            "attempts [1, 2]",
        ),
        ([committed("a", 1), committed("a", 2), row("a", [attempt(1, "released", 1, 2)], state="queued")], "[1, 2]"),
        ([committed("a", 1), row("a", [attempt(1, "failed", 1, 2)], state="failed")], "then failed"),
        ([row("a", ONCE, result_key="results/id-a/2-token.mp4")], "its video is results/id-a/2-token.mp4"),
        ([row("a", ONCE), row("a", ONCE, id="other")], "2 rows for one request"),
    ],
)
def test_a_job_committed_twice_is_found(events: list[Event], reason: str) -> None:
    (found,) = check([accepted("a"), *events]).committed_twice
    assert found.startswith("a: ")
    assert reason in found


def test_a_commit_that_is_logged_twice_counts_once() -> None:
    assert check([accepted("a"), committed("a", 1), committed("a", 1), row("a", ONCE)]).sound


def test_a_video_that_differs_from_the_uninterrupted_one_is_found() -> None:
    digest = {"at": 5.0, "what": "digest", "job": "a", "sha256": "beef", "expected": "cafe"}
    verdict = check([accepted("a"), row("a", ONCE), digest])
    assert verdict.differing == ("a: beef",)
    assert not verdict.sound


def test_recovery_is_measured_from_the_kill_to_the_next_claim() -> None:
    attempts = [attempt(1, "retried", 10.0, 32.0, pid=7), attempt(2, "succeeded", 32.5, 33.0, pid=8)]
    verdict = check([accepted("a"), killed(12.0, 6, 7), killed(40.0, 8), row("a", attempts)])
    assert (verdict.kills, verdict.kills_of_held) == (2, 1)
    assert verdict.recoveries_s == (20.5,)


def test_kills_of_another_or_an_earlier_process_end_no_attempt() -> None:
    attempts = [attempt(1, "retried", 10.0, 20.0, pid=7), attempt(2, "succeeded", 20.0, 21.0, pid=7)]
    verdict = check([accepted("a"), killed(5.0, 7), killed(12.0, 9), killed(30.0, 7), row("a", attempts)])
    assert (verdict.kills_of_held, verdict.recoveries_s) == (0, ())


def test_a_kill_does_not_count_for_an_attempt_that_failed_by_itself() -> None:
    failed = attempt(1, "retried", 10.0, 12.0) | {"cause": "transient"}
    verdict = check([accepted("a"), killed(11.99, 7), row("a", [failed, attempt(2, "succeeded", 14.0, 15.0)])])
    assert (verdict.kills_of_held, verdict.recoveries_s) == (0, ())


def test_work_before_the_last_checkpoint_is_not_redone() -> None:
    saved = {"at": 16.0, "what": "checkpoint_saved", "id": "id-a", "attempt": 1}
    attempts = [attempt(1, "retried", 10.0, 40.0), attempt(2, "succeeded", 40.0, 42.0)]
    verdict = check([accepted("a"), saved, killed(18.0, 7), row("a", attempts)])
    assert verdict.redone_s == pytest.approx(2.0)
    assert verdict.redone_share == pytest.approx(2.0 / (8.0 + 2.0))


def test_refused_writes_of_all_attempts_are_summed() -> None:
    zombie = attempt(1, "retried", 1.0, 2.0) | {"refused_writes": 3}
    verdict = check([accepted("a"), row("a", [zombie, attempt(2, "succeeded", 2.0, 3.0) | {"refused_writes": 1}])])
    assert verdict.zombie_writes_refused == 4


def test_verdicts_of_two_phases_are_summed() -> None:
    one = check([accepted("a"), killed(1.0, 7)])
    both = one + check([accepted("b"), row("b", ONCE)])
    assert (both.jobs, both.kills, len(both.lost)) == (2, 1, 1)
