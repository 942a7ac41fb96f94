# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
"""Cancelling a running batch and deleting it with its files."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import pytest
from tests.e2e.test_batch import HALF_WAY, WITHIN_S, keys_below
from tests.integration.embedded.processes import eventually

from dubline.client.calls.jobs import NewJob
from dubline.client.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Dubline

    from dubline.client import Client
    from dubline.embedded import Stack

RELEASED_WITHIN_S = 40.0
"""Half of the job's duration on two free cores."""


@pytest.fixture
def long_speech(short_speech: Path, tmp_path: Path) -> Path:
    """Eighty seconds of speech, whose rendering takes much longer than releasing a cancelled job."""
    path = tmp_path / "long.wav"
    with wave.open(str(short_speech)) as short, wave.open(str(path), "wb") as out:
        out.setparams(short.getparams())
        out.writeframes(short.readframes(short.getnframes()) * 100)
    return path


def test_a_running_batch_is_cancelled_and_deleted_with_its_files(
    stack: Stack, client: Client, dubline: Dubline, demo: Path, short_speech: Path, long_speech: Path
) -> None:
    portrait = client.uploads.send(demo / "portraits/ada.jpg", "portrait")
    long, short = (client.uploads.send(path, "speech") for path in (long_speech, short_speech))
    wanted = [
        NewJob(portrait_upload_id=portrait.id, speech_upload_id=speech.id, custom_id=name, preset="tiny")
        for name, speech in (("done", short), ("stopped", long))
    ]
    batch = client.batches.create(wanted)
    done, stopped = client.batches.jobs(batch.id)
    with pytest.raises(RefusedError) as refused:
        client.uploads.delete(long.id)
    assert refused.value.code == "upload_in_use"

    eventually(lambda: client.jobs.get(stopped.id).stage in HALF_WAY, WITHIN_S)
    process = dubline("cancel", batch.id)
    assert (process.returncode, process.stdout) == (0, f"batch {batch.id}: 1 succeeded, 1 cancelled, 100 %\n")
    assert [attempt.cause for attempt in client.jobs.get(stopped.id).attempts] == ["cancelled"]
    after = client.jobs.create(NewJob(portrait_upload_id=portrait.id, speech_upload_id=short.id, preset="tiny"))
    eventually(lambda: client.jobs.get(after.id).attempt_count == 1, RELEASED_WITHIN_S)
    eventually(lambda: client.jobs.get(after.id).state == "succeeded", WITHIN_S)
    assert client.jobs.get(stopped.id).state == "cancelled"

    assert len(keys_below(stack, f"results/{done.id}/")) == 1
    process = dubline("delete", batch.id, "--inputs")
    assert process.returncode == 0
    assert process.stdout.startswith(f"batch {batch.id} is deleted. Audit entry: ")
    gone = {done.id, stopped.id, long.id}
    eventually(lambda: not [key for key in keys_below(stack) if any(name in key for name in gone)], WITHIN_S)
    # The later job uses the other two uploads and keeps its video.
    assert len([key for key in keys_below(stack) if any(one in key for one in (portrait.id, short.id, after.id))]) == 3
    assert client.jobs.get(after.id).result
    for words in (("status", batch.id), ("status", done.id), ("delete", batch.id)):
        assert dubline(*words).returncode == 2
