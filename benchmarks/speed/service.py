"""What a job costs besides its render: claim, fetch, upload and the last write; and the rate of several workers."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from benchmarks.database import driver_url
from benchmarks.speed import inputs

from dubline.client import Client
from dubline.client.calls.jobs import NewJob
from dubline.client.calls.options import Output
from dubline.embedded.application import RENDERER
from dubline.embedded.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.embedded.part import Part

#: Videos of these jobs have ten frames of this height.
SPEECH_S: Final = 0.4
HEIGHT_PX: Final = 128
WITHIN_S: Final = 600.0
POLL_S: Final = 0.2
#: Between the first start and the last end of the measured jobs.
SPAN: Final = """
SELECT extract(epoch FROM max(attempts.ended_at) - min(attempts.started_at))::float8,
    count(*) FILTER (WHERE outcome = 'succeeded')
FROM attempts WHERE job_id::text = ANY(%s)
"""


def overhead(jobs: int = 30) -> dict[str, Any]:
    """Render short jobs in one worker; return the medians of the overhead in ms and of its parts.

    `wall` is the time of an attempt without that of the renderer; `processor` that of the worker's process.
    """
    servers = ("initdb", "database", "broker", "bucket", "prepare", "prober", "api")
    stack = Stack()
    try:
        stack.start(only=servers)
        with Client(stack.url, stack.key) as client:
            _submit(client, stack.folder, jobs + 1)
        command = [sys.executable, "-m", "benchmarks.speed.attempts", str(jobs + 1)]
        environ = stack.environ | {"DUBLINE_WORKER_PRESETS": "tiny"}
        ran = subprocess.run(command, cwd=_ROOT, env=environ, check=True, stdout=subprocess.PIPE, text=True)
        attempts = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")][1:]
    finally:
        stack.stop()
    names = attempts[0]
    return {"jobs": len(attempts), **{name: statistics.median(one[name] for one in attempts) for name in names}}


def workers(most: int | None = None, jobs: int = 8) -> Iterator[dict[str, Any]]:
    """Yield the rate of 1, 2, 4... workers on this machine, at most one for each processor: short jobs per second."""
    processors = len(os.sched_getaffinity(0))
    count = 1
    while count <= (most or processors):
        yield {"name": f"{count} workers", "jobs_per_s": _rate(count, jobs)}
        count *= 2


def _rate(count: int, jobs: int) -> float:
    def arrange(parts: tuple[Part, ...]) -> Iterator[Part]:
        for part in parts:
            if part.name != RENDERER:
                yield part
                continue
            for number in range(count):
                yield replace(part, name=f"{RENDERER}-{number}")

    with Stack({"DUBLINE_WORKER_PRESETS": "tiny"}, arrange) as stack, Client(stack.url, stack.key) as client:
        # The first jobs wait until the workers have started.
        _wait(client, _submit(client, stack.folder, 2 * count))
        measured = _submit(client, stack.folder, jobs * count)
        _wait(client, measured)
        with psycopg.connect(driver_url(stack.environ["DUBLINE_DATABASE_URL"])) as connection:
            row = connection.execute(SPAN, (measured,)).fetchone()
    if row is None or row[1] != len(measured):
        raise SystemExit("some jobs failed")
    return float(row[1] / row[0])


def _submit(client: Client, folder: Path, count: int) -> list[str]:
    portrait = client.uploads.send(inputs.portrait().path, "portrait").id
    speech = client.uploads.send(inputs.speech(folder, SPEECH_S), "speech").id
    ids = []
    for seed in range(count):
        row = NewJob(
            portrait_upload_id=portrait,
            speech_upload_id=speech,
            preset="tiny",
            seed=seed,
            output=Output(height_px=HEIGHT_PX),
        )
        ids.append(client.jobs.create(row).id)
    return ids


def _wait(client: Client, jobs: list[str]) -> None:
    until = time.monotonic() + WITHIN_S
    for job in jobs:
        while client.jobs.get(job).state not in {"succeeded", "failed"}:
            if time.monotonic() > until:
                raise SystemExit(f"job {job} was not finished within {WITHIN_S:.0f} s")
            time.sleep(POLL_S)


_ROOT: Final = Path(__file__).parents[2]
