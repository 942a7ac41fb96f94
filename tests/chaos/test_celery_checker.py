"""The checker of the Celery baseline: lost tasks and tasks done twice are found in its task log."""

from __future__ import annotations

from typing import Any

from benchmarks.chaos.celery_baseline.checker import check

Event = dict[str, Any]


def event(at: float, what: str, task: str, pid: int) -> Event:
    return {"at": at, "what": what, "task": task, "pid": pid}


def run(task: str, started_at: float, finished_at: float, pid: int) -> list[Event]:
    return [event(started_at, "task_started", task, pid), event(finished_at, "task_finished", task, pid)]


SENT = {"at": 0.0, "what": "accepted", "jobs": ["a", "b"]}


def test_tasks_that_finished_once_are_sound() -> None:
    assert check([SENT, *run("a", 1, 2, 7), *run("b", 2, 3, 7)]).sound


def test_a_task_that_never_finished_is_lost() -> None:
    assert check([SENT, *run("a", 1, 2, 7), event(3, "task_started", "b", 7)]).lost == ("b",)


def test_a_task_that_finished_twice_is_done_twice() -> None:
    assert check([SENT, *run("a", 1, 2, 7), *run("a", 5, 6, 8), *run("b", 2, 3, 7)]).committed_twice == ("a",)


def test_recovery_is_measured_from_the_kill_to_the_next_run() -> None:
    killed = {"at": 4.0, "what": "killed", "pids": [7]}
    verdict = check([SENT, *run("b", 1, 2, 7), event(3, "task_started", "a", 7), killed, *run("a", 24, 25, 8)])
    assert verdict.recoveries_s == (20.0,)
    assert verdict.sound


def test_a_kill_after_the_end_of_a_run_does_not_count() -> None:
    killed = {"at": 4.0, "what": "killed", "pids": [7]}
    assert check([SENT, *run("a", 1, 2, 7), killed, *run("a", 24, 25, 8)]).recoveries_s == ()
