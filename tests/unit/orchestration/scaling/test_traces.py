"""Generated traces, and traces from files."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.scaling.simulation.trace_file import TraceFileError, halves, read, write
from dubline.orchestration.scaling.simulation.traces import ARRIVALS_S, JOB_MAX_S, KINDS, generate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = "arrival,device_s,preset\n"
LINES = "".join(f"{10 * number},{number + 1},base\n" for number in range(40))


@pytest.mark.parametrize("kind", KINDS)
def test_a_trace_is_repeated_by_its_seed_and_in_order(kind: str) -> None:
    trace = generate(kind, 1)
    assert trace == generate(kind, 1)
    assert trace != generate(kind, 2)
    assert all(earlier.at_s <= later.at_s for earlier, later in pairwise(trace.arrivals))
    assert all(0 <= job.at_s < ARRIVALS_S and 0 < job.device_s <= JOB_MAX_S for job in trace.arrivals)
    assert trace.length_s > ARRIVALS_S


def test_gaps_of_bursty_traces_vary_by_twelve_times_their_mean() -> None:
    variations = []
    for seed in range(6):
        gaps_s = [later.at_s - earlier.at_s for earlier, later in pairwise(generate("bursty", seed).arrivals)]
        variations.append(statistics.pstdev(gaps_s) / statistics.fmean(gaps_s))
    assert 10 <= statistics.fmean(variations) <= 14


def test_predictions_are_right_on_average() -> None:
    jobs = generate("diurnal", 1).arrivals
    ratio = sum(job.predicted_s for job in jobs) / sum(job.device_s for job in jobs)
    assert ratio == pytest.approx(1.0, abs=0.03)


def test_a_file_is_read_in_the_order_of_arrival(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    lines = LINES.splitlines(keepends=True)
    path.write_text(HEADER + "".join(reversed(lines)))
    trace = read(path)
    assert [job.at_s for job in trace.arrivals] == [10.0 * number for number in range(40)]
    assert [job.device_s for job in trace.arrivals] == [number + 1.0 for number in range(40)]
    assert {job.preset for job in trace.arrivals} == {"base"}


def test_times_of_a_file_may_be_dates(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    dates = "".join(f"2026-11-29T09:{minute:02}:00+00:00,5,tiny\n" for minute in range(20, 50))
    path.write_text(HEADER + dates)
    assert [job.at_s for job in read(path).arrivals] == [60.0 * number for number in range(30)]


def test_times_without_an_offset_do_not_depend_on_the_zone_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs.csv"
    # In Berlin there is no time from 2 to 3 in that night.
    path.write_text(HEADER + "".join(f"2026-03-29T0{hour}:{ten}0:00,5,tiny\n" for hour in range(5) for ten in range(6)))
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "Europe/Berlin")
        time.tzset()
        try:
            arrivals = read(path).arrivals
        finally:
            zone.undo()
            time.tzset()
    assert [job.at_s for job in arrivals] == [600.0 * number for number in range(30)]


def test_a_trace_whose_jobs_cannot_be_read_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    def jobs() -> Iterator[tuple[datetime, float, str]]:
        yield datetime(2026, 11, 29, tzinfo=UTC), 5.0, "tiny"
        raise DatabaseUnavailableError

    path = tmp_path / "jobs.csv"
    path.write_text("kept")
    with pytest.raises(DatabaseUnavailableError):
        write(path, jobs())
    assert path.read_text() == "kept"


def test_the_halves_of_a_file_begin_at_zero(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(HEADER + LINES)
    first, second = halves(read(path))
    assert (len(first.arrivals), len(second.arrivals)) == (20, 20)
    assert first.arrivals[0].at_s == second.arrivals[0].at_s == 0.0
    assert second.arrivals[-1].device_s == 40.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column arrival"),
        ("arrival,preset\n1,base\n", "no column device_s"),
        (HEADER + "1,2,base\nsoon,2,base\n", "line 3: arrival is 'soon', expected"),
        (HEADER + "1,0,base\n", "line 2: device_s is '0', expected"),
        (HEADER + "1,nan,base\n", "line 2: device_s is 'nan', expected"),
        (HEADER + "1\n", "line 2: device_s is None, expected"),
        (HEADER + "1,2,\n", "line 2: preset is empty, expected"),
        (HEADER + "1,2,base\n", "has 1 jobs: expected at least 20"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(text)
    with pytest.raises(TraceFileError, match=message):
        read(path)


def test_a_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="cannot be read"):
        read(tmp_path / "none.csv")
