"""Runs of `dubline submit` that were interrupted, and the next run of the same command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.client.recording_display import RecordingDisplay
from tests.unit.client.runs.test_continuing import MANY, interrupted
from tests.unit.client.service import KEY, URL, VIDEO, Service, problem

from dubline.client.calls.options import RequestedOptions
from dubline.client.client import Client
from dubline.client.errors import ClientError
from dubline.client.runs.submit import SubmitOptions, SubmitRun

if TYPE_CHECKING:
    from pathlib import Path


def options_of(media: Path, out: Path, seed: int | None = None) -> SubmitOptions:
    requested = RequestedOptions(seed=seed)
    return SubmitOptions(portrait=media / "face.jpg", speech=media / "hello.mp3", out=out, requested=requested)


@pytest.mark.parametrize("received", [False, True])
def test_a_job_is_created_once_wherever_a_run_is_interrupted(tmp_path: Path, media: Path, *, received: bool) -> None:
    for at in range(1, MANY):
        service, folder = Service(), tmp_path / f"out-{at}"
        folder.mkdir()
        options = options_of(media, folder / "one.mp4")
        with interrupted(service, at, received=received) as first:
            try:
                SubmitRun(first, options, RecordingDisplay()).run()
            except KeyboardInterrupt:
                pass
            else:
                break
        with Client(URL, KEY, service.transport()) as second:
            assert SubmitRun(second, options, RecordingDisplay()).run().path == options.out
        assert (len(service.jobs), len(service.uploads)) == (1, 2)
        assert [path.name for path in folder.iterdir()] == ["one.mp4"], "the state is removed"
        assert options.out.read_bytes() == VIDEO
    assert 10 < at < MANY - 1


def test_a_run_that_continues_a_job_says_so(tmp_path: Path, media: Path, service: Service) -> None:
    options = options_of(media, tmp_path / "one.mp4")
    assert _left(service, options) == "job-0"
    display = RecordingDisplay()
    with Client(URL, KEY, service.transport()) as client:
        SubmitRun(client, options, display).run()
    assert display.notices == ["job job-0 continues: an earlier run has sent it. Nothing is sent again."]


def test_other_options_and_deleted_jobs_are_new_jobs(tmp_path: Path, media: Path, service: Service) -> None:
    options = options_of(media, tmp_path / "one.mp4")
    assert _left(service, options) == "job-0"
    assert _left(service, options_of(media, options.out, seed=5)) == "job-1"
    del service.jobs["job-0"]
    service.made = {key: made for key, made in service.made.items() if made != "job-0"}
    service.jobs["job-9"] = service.jobs["job-1"]
    with Client(URL, KEY, service.transport()) as client:
        run = SubmitRun(client, options, RecordingDisplay())
        assert run.run().path == options.out
    assert run.job_id == "job-2"


def _left(service: Service, options: SubmitOptions) -> str:
    """Run until the job is accepted; return its id."""
    service.faults |= {f"GET /v1/jobs/job-{number}": [problem(401, "no", "No.")] for number in range(2)}
    with Client(URL, KEY, service.transport()) as client:
        run = SubmitRun(client, options, RecordingDisplay())
        with pytest.raises(ClientError):
            run.run()
    service.faults.clear()
    return run.job_id
