"""The log reader on growing logs, with incomplete and interrupted lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.chaos.history import History, read
from benchmarks.chaos.testbed.log_reader import LogReader

if TYPE_CHECKING:
    from pathlib import Path


def line(event: str, number: int) -> str:
    facts = {"event": event, "job_id": f"job-{number}", "attempt": 1, "timestamp": "2026-01-02T03:04:05.5Z"}
    return json.dumps(facts) + "\n"


def recorded(path: Path) -> list[tuple[str, str]]:
    return [(event["what"], event["id"]) for event in read(path)]


def test_each_line_is_read_once_when_it_is_complete(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "history"
    complete = line("job_leased", 1) + line("job_succeeded", 1)
    with History(path) as history:
        log_reader = LogReader([log], history)
        log_reader.read()
        for end in (10, len(complete) - 5, len(complete)):
            log.write_text(complete[:end])
            log_reader.read()
            log_reader.read()
        assert log_reader.commits == 1
    assert recorded(path) == [("leased", "job-1"), ("committed", "job-1")]


def test_an_incomplete_line_of_a_killed_worker_is_skipped(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "history"
    log.write_text(line("job_leased", 1)[:20] + line("job_succeeded", 2) + "Traceback\n" + line("segment_rendered", 3))
    with History(path) as history:
        LogReader([log], history).read()
    assert recorded(path) == [("committed", "job-2")]


def test_events_have_the_time_of_the_log(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "history"
    log.write_text(line("job_leased", 1))
    with History(path) as history:
        LogReader([log], history).read()
    (event,) = read(path)
    assert event["at"] == 1767323045.5
