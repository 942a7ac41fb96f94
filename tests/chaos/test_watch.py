"""What renderers log is read as it grows, however it is cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.chaos.history import History, read
from benchmarks.chaos.testbed.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path


def line(event: str, number: int) -> str:
    facts = {"event": event, "job_id": f"job-{number}", "attempt": 1, "timestamp": "2026-01-02T03:04:05.5Z"}
    return json.dumps(facts) + "\n"


def seen(path: Path) -> list[tuple[str, str]]:
    return [(event["what"], event["id"]) for event in read(path)]


def test_lines_are_taken_once_and_only_when_they_are_whole(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "history"
    whole = line("job_leased", 1) + line("job_succeeded", 1)
    with History(path) as history:
        watch = Watch([log], history)
        watch.look()
        for end in (10, len(whole) - 5, len(whole)):
            log.write_text(whole[:end])
            watch.look()
            watch.look()
        assert watch.commits == 1
    assert seen(path) == [("leased", "job-1"), ("committed", "job-1")]


def test_a_line_that_a_killed_worker_left_open_does_not_hide_the_next(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "history"
    log.write_text(line("job_leased", 1)[:20] + line("job_succeeded", 2) + "Traceback\n" + line("segment_rendered", 3))
    with History(path) as history:
        Watch([log], history).look()
    assert seen(path) == [("committed", "job-2")]


def test_events_keep_the_time_of_the_log(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "history"
    log.write_text(line("job_leased", 1))
    with History(path) as history:
        Watch([log], history).look()
    (event,) = read(path)
    assert event["at"] == 1767323045.5
