"""Trace files: CSV with one line for each job, with `arrival`, `device_s` and `preset`."""

from __future__ import annotations

import csv
import math
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

from dubline.orchestration.scaling.simulation.traces import Arrival, Trace, predicted_s

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

COLUMNS: Final = ("arrival", "device_s", "preset")
#: Time after the last arrival that is simulated at least.
REST_S: Final = 7200.0
ARRIVALS_MIN: Final = 20


class TraceFileError(ValueError):
    """The file is not a trace."""


def read(path: Path) -> Trace:
    """Read a trace.

    Args:
        path: a CSV file with a header. `arrival` is a number of seconds or a time in ISO 8601, in UTC unless it
            has an offset; `device_s` is the number of device seconds that the job needs.

    Returns:
        The jobs in the order of their arrival, the first at 0 s. Predictions are drawn as for generated traces.

    Raises:
        TraceFileError: with the number of the line.
    """
    random = Random(0)  # noqa: S311 - not for secrets
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            absent = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if absent:
                raise TraceFileError(f"{path} has no column {absent[0]}: expected the header {','.join(COLUMNS)}")
            arrivals = [_arrival(row, f"{path}, line {rows.line_num}", random) for row in rows]
    except OSError as error:
        raise TraceFileError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TraceFileError(f"{path} is not UTF-8 text. Save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise TraceFileError(f"{path} is not CSV: {error}.") from error
    if len(arrivals) < ARRIVALS_MIN:
        raise TraceFileError(f"{path} has {len(arrivals)} jobs: expected at least {ARRIVALS_MIN}")
    return _trace(sorted(arrivals, key=lambda arrival: arrival.at_s))


def write(path: Path, jobs: Iterable[tuple[datetime, float, str]]) -> int:
    """Write a trace that `read` accepts.

    Args:
        path: the file; it is replaced, unless the jobs cannot be read.
        jobs: arrival, device seconds and preset of each job.

    Returns:
        The number of jobs.

    Raises:
        TraceFileError: the file cannot be written.
    """
    number = 0
    try:
        with TemporaryFile("w+", newline="", encoding="utf-8") as read:
            rows = csv.writer(read, lineterminator="\n")
            rows.writerow(COLUMNS)
            for number, (arrival, device_s, preset) in enumerate(jobs, 1):  # noqa: B007 - the last one is returned
                rows.writerow((arrival.isoformat(), device_s, preset))
            read.seek(0)
            with path.open("w", newline="", encoding="utf-8") as file:
                shutil.copyfileobj(read, file)
    except OSError as error:
        raise TraceFileError(f"{path} cannot be written: {error.strerror}") from error
    return number


def halves(trace: Trace) -> tuple[Trace, Trace]:
    """Divide a trace into the first and the second half of its jobs, each beginning at 0 s."""
    middle = len(trace.arrivals) // 2
    return _trace(trace.arrivals[:middle]), _trace(trace.arrivals[middle:])


def _trace(arrivals: list[Arrival] | tuple[Arrival, ...]) -> Trace:
    begin_s = arrivals[0].at_s
    shifted = tuple(replace(arrival, at_s=arrival.at_s - begin_s) for arrival in arrivals)
    return Trace(shifted, shifted[-1].at_s + REST_S)


def _arrival(row: dict[str, str], place: str, random: Random) -> Arrival:
    at_s = _time_s(row["arrival"], place)
    device_s = _number(row["device_s"])
    if not 0 < device_s < math.inf:
        raise TraceFileError(f"{place}: device_s is {row['device_s']!r}, expected a number of seconds above 0")
    if not row["preset"]:
        raise TraceFileError(f"{place}: preset is empty, expected the name of a preset")
    return Arrival(at_s, device_s, predicted_s(random, device_s), row["preset"])


def _time_s(text: str, place: str) -> float:
    at_s = _number(text)
    if math.isfinite(at_s):
        return at_s
    try:
        at = datetime.fromisoformat(text or "")
        # Without an offset the zone of this machine would count, in which an hour of a year is missing.
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except ValueError as error:
        raise TraceFileError(
            f"{place}: arrival is {text!r}, expected a number of seconds or a time such as 2026-11-29T09:00:00+00:00"
        ) from error


def _number(text: str | None) -> float:
    """Read a number; NaN if it is none."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
