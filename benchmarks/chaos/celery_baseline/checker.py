"""Checker of the Celery baseline. Pure; plain Celery has no rows, so the log of its tasks is the only source."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmarks.chaos.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def check(events: Iterable[Mapping[str, Any]]) -> Verdict:
    """Return the verdict on the events of the baseline.

    A task is lost if it was sent and never finished, and done twice if it finished twice.
    """
    sent: set[str] = set()
    finishes: Counter[str] = Counter()
    finished_runs: set[tuple[str, int]] = set()
    runs: dict[str, list[tuple[float, int]]] = defaultdict(list)
    kills: dict[int, list[float]] = defaultdict(list)
    kill_count = 0
    for event in events:
        if event["what"] == "accepted":
            sent.update(event["jobs"])
        elif event["what"] == "task_started":
            runs[event["task"]].append((event["at"], event["pid"]))
        elif event["what"] == "task_finished":
            finishes[event["task"]] += 1
            finished_runs.add((event["task"], event["pid"]))
        elif event["what"] == "killed":
            kill_count += 1
            for pid in event["pids"]:
                kills[pid].append(event["at"])
    recoveries_s: list[float] = []
    for task, started in runs.items():
        unfinished = [(at, pid, (task, pid) not in finished_runs) for at, pid in sorted(started)]
        recoveries_s += _recoveries_s(unfinished, kills)
    return Verdict(
        jobs=len(sent),
        kills=kill_count,
        kills_of_held=len(recoveries_s),
        lost=tuple(sorted(sent - finishes.keys())),
        committed_twice=tuple(sorted(task for task, count in finishes.items() if count > 1)),
        recoveries_s=tuple(recoveries_s),
    )


def _recoveries_s(runs: list[tuple[float, int, bool]], kills: Mapping[int, list[float]]) -> Iterable[float]:
    """Yield the time from each kill that ended a run of one task to the next run of the task.

    Args:
        runs: start, process id and whether it did not finish, for each run in order.
        kills: times of the kills, by process id.
    """
    for (started_at, pid, unfinished), (next_at, _, _) in pairwise(runs):
        times = kills.get(pid, [])
        index = bisect_right(times, started_at)
        if unfinished and index < len(times) and times[index] < next_at:
            yield next_at - times[index]
