"""Checker: computes a verdict from the events of one phase. Pure; the history is its only input.

It compares three sources: what the API acknowledged (`accepted`), what workers logged (`committed`) and what the
database and the bucket hold at the end (`row`). A job is lost unless its row is `succeeded` and its video is in the
bucket. A job is committed twice if two attempts published it according to any of the sources.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from benchmarks.chaos.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Largest difference between the time of a kill in the history and the start of the attempt in the database.
CLOCK_S: Final = 0.05


@dataclass(slots=True)
class _Evidence:
    accepted: Counter[str] = field(default_factory=Counter)
    rows: dict[str, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    commits: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    checkpoints: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    kills: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    kill_count: int = 0
    digests: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, event: Mapping[str, Any]) -> None:
        """Add one event."""
        what = event["what"]
        if what == "accepted":
            self.accepted.update(event["jobs"])
        elif what == "row":
            self.rows[event["job"]].append(event)
        elif what == "committed":
            self.commits[event["id"]].add(event["attempt"])
        elif what == "checkpoint_saved":
            self.checkpoints[event["id"], event["attempt"]].append(event["at"])
        elif what == "killed":
            self.kill_count += 1
            for pid in event["pids"]:
                self.kills[pid].append(event["at"])
        elif what == "digest":
            self.digests.append(event)


def check(events: Iterable[Mapping[str, Any]]) -> Verdict:
    """Return the verdict on the events of one phase."""
    evidence = _Evidence()
    for event in events:
        evidence.add(event)
    rows = list(chain.from_iterable(evidence.rows.values()))
    hits = [hit for row in rows for hit in _hits(evidence, row)]
    differing = [one for one in evidence.digests if one["sha256"] != one["expected"]]
    return Verdict(
        jobs=len(evidence.accepted),
        kills=evidence.kill_count,
        kills_of_held=len(hits),
        lost=tuple(_lost(evidence)),
        committed_twice=tuple(_committed_twice(evidence)),
        differing=tuple(f"{one['job']}: {one['sha256']}" for one in differing),
        zombie_writes_refused=sum(attempt["refused_writes"] for row in rows for attempt in row["attempts"]),
        recoveries_s=tuple(recovery_s for recovery_s, _ in hits if recovery_s is not None),
        busy_s=sum(_busy_s(evidence, attempt) for row in rows for attempt in row["attempts"]),
        redone_s=sum(redone_s for _, redone_s in hits),
    )


def _lost(evidence: _Evidence) -> Iterator[str]:
    for job in evidence.accepted:
        rows = evidence.rows.get(job, [])
        if not rows:
            yield f"{job}: accepted, but there is no row"
        for row in rows:
            if row["state"] != "succeeded":
                yield f"{job}: {row['state']} {row['error_code'] or ''}".rstrip()
            elif row["stored_bytes"] is None:
                yield f"{job}: succeeded, but {row['result_key']} is not in the bucket"
            elif row["stored_bytes"] != row["result_bytes"]:
                yield f"{job}: {row['stored_bytes']} bytes in the bucket, {row['result_bytes']} in the row"


def _committed_twice(evidence: _Evidence) -> Iterator[str]:
    for job, rows in evidence.rows.items():
        if len(rows) > 1:
            yield f"{job}: {len(rows)} rows for one request"
        for row in rows:
            published = {one["number"] for one in row["attempts"] if one["outcome"] == "succeeded"}
            published |= evidence.commits.get(row["id"], set())
            if len(published) > 1:
                yield f"{job}: published by attempts {sorted(published)}"
            elif published and row["state"] != "succeeded":
                yield f"{job}: published by attempt {min(published)}, then {row['state']}"
            elif published and _attempt_of(row["result_key"]) not in published:
                yield f"{job}: published by attempt {min(published)}, but its video is {row['result_key']}"


def _attempt_of(result_key: str) -> int:
    """Return the attempt number in a key `results/JOB/NUMBER-TOKEN.mp4`."""
    return int(result_key.rpartition("/")[2].partition("-")[0])


def _hits(evidence: _Evidence, row: Mapping[str, Any]) -> Iterator[tuple[float | None, float]]:
    """Yield two times for each attempt of a job that a kill ended.

    The first is from the kill to the next claim in seconds, None if there was none. The second is the work lost in
    seconds: from the last checkpoint, or from the claim, to the kill.
    """
    attempts = row["attempts"]
    for attempt, following in zip(attempts, [*attempts[1:], None], strict=True):
        killed_at = _killed_at(evidence, attempt)
        if killed_at is not None:
            recovery_s = None if following is None else following["started_at"] - killed_at
            saved = [at for at in evidence.checkpoints.get((row["id"], attempt["number"]), []) if at <= killed_at]
            yield recovery_s, killed_at - max([attempt["started_at"], *saved])


def _killed_at(evidence: _Evidence, attempt: Mapping[str, Any]) -> float | None:
    if attempt["cause"] not in {None, "worker_lost"} or attempt["outcome"] == "succeeded":
        return None
    pid = int(attempt["worker"].rpartition("/")[2])
    ended_at = attempt["ended_at"] or float("inf")
    within = (at for at in evidence.kills.get(pid, []) if attempt["started_at"] - CLOCK_S <= at <= ended_at)
    return min(within, default=None)


def _busy_s(evidence: _Evidence, attempt: Mapping[str, Any]) -> float:
    ended_at = _killed_at(evidence, attempt) or attempt["ended_at"] or attempt["started_at"]
    return float(max(0.0, ended_at - attempt["started_at"]))
