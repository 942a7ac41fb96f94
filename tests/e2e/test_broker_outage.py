"""Without its broker, the service accepts and renders jobs; workers find them by polling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.e2e.test_batch import WITHIN_S
from tests.integration.embedded.processes import eventually

from dubline.client.calls.jobs import NewJob

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dubline.client import Client
    from dubline.embedded import Stack

BROKER = "broker"


@pytest.fixture
def _no_broker(stack: Stack) -> Iterator[None]:
    stack.children[BROKER].kill()
    yield
    stack.restart(BROKER)


@pytest.mark.usefixtures("_no_broker")
def test_jobs_are_accepted_and_rendered_without_the_broker(client: Client, demo: Path, short_speech: Path) -> None:
    portrait = client.uploads.send(demo / "portraits/ada.jpg", "portrait")
    speech = client.uploads.send(short_speech, "speech")
    assert (portrait.state, speech.state) == ("ready", "ready")
    job = client.jobs.create(NewJob(portrait_upload_id=portrait.id, speech_upload_id=speech.id, preset="tiny"))
    eventually(lambda: client.jobs.get(job.id).is_final, WITHIN_S)
    assert client.jobs.get(job.id).state == "succeeded"
