"""From the history of the rival to a verdict: pure. It has no rows, so its own log of ends is what counts for it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmarks.chaos.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def check(events: Iterable[Mapping[str, Any]]) -> Verdict:
    """Judge the events of the rival's phase: lost is a task sent that never ended, twice one that ended twice."""
    sent: set[str] = set()
    ended: Counter[str] = Counter()
    finished: set[tuple[str, int]] = set()
    begun: dict[str, list[tuple[float, int]]] = defaultdict(list)
    kills: dict[int, list[float]] = defaultdict(list)
    kill_count = 0
    for event in events:
        if event["what"] == "accepted":
            sent.update(event["jobs"])
        elif event["what"] == "task_began":
            begun[event["task"]].append((event["at"], event["pid"]))
        elif event["what"] == "task_ended":
            ended[event["task"]] += 1
            finished.add((event["task"], event["pid"]))
        elif event["what"] == "killed":
            kill_count += 1
            for pid in event["pids"]:
                kills[pid].append(event["at"])
    recoveries_s: list[float] = []
    for task, runs in begun.items():
        broken = [(at, pid, (task, pid) not in finished) for at, pid in sorted(runs)]
        recoveries_s += _recoveries_s(broken, kills)
    return Verdict(
        jobs=len(sent),
        kills=kill_count,
        kills_of_held=len(recoveries_s),
        lost=tuple(sorted(sent - ended.keys())),
        committed_twice=tuple(sorted(task for task, count in ended.items() if count > 1)),
        recoveries_s=tuple(recoveries_s),
    )


def _recoveries_s(runs: list[tuple[float, int, bool]], kills: Mapping[int, list[float]]) -> Iterable[float]:
    """Seconds from each kill that broke a run of one task to the task's next run."""
    for (began_at, pid, broken), (next_at, _, _) in pairwise(runs):
        times = kills.get(pid, [])
        index = bisect_right(times, began_at)
        if broken and index < len(times) and times[index] < next_at:
            yield next_at - times[index]
