"""The rival is judged by its own log alone; what it lost and what it did twice must be seen there too."""

from __future__ import annotations

from typing import Any

from benchmarks.chaos.celery_baseline.checker import check

Event = dict[str, Any]


def event(at: float, what: str, task: str, pid: int) -> Event:
    return {"at": at, "what": what, "task": task, "pid": pid}


def run(task: str, began_at: float, ended_at: float, pid: int) -> list[Event]:
    return [event(began_at, "task_began", task, pid), event(ended_at, "task_ended", task, pid)]


SENT = {"at": 0.0, "what": "accepted", "jobs": ["a", "b"]}


def test_tasks_that_ended_once_are_sound() -> None:
    assert check([SENT, *run("a", 1, 2, 7), *run("b", 2, 3, 7)]).sound


def test_a_task_that_never_ended_is_lost() -> None:
    assert check([SENT, *run("a", 1, 2, 7), event(3, "task_began", "b", 7)]).lost == ("b",)


def test_a_task_that_ended_twice_was_done_twice() -> None:
    assert check([SENT, *run("a", 1, 2, 7), *run("a", 5, 6, 8), *run("b", 2, 3, 7)]).committed_twice == ("a",)


def test_recovery_runs_from_the_kill_to_the_next_run() -> None:
    killed = {"at": 4.0, "what": "killed", "pids": [7]}
    verdict = check([SENT, *run("b", 1, 2, 7), event(3, "task_began", "a", 7), killed, *run("a", 24, 25, 8)])
    assert verdict.recoveries_s == (20.0,)
    assert verdict.sound


def test_a_run_that_had_ended_before_the_kill_was_not_hit() -> None:
    killed = {"at": 4.0, "what": "killed", "pids": [7]}
    assert check([SENT, *run("a", 1, 2, 7), killed, *run("a", 24, 25, 8)]).recoveries_s == ()
