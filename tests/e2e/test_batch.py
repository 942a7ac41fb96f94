"""A batch with a rejected row and a lost worker."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
import pytest
from PIL import Image
from tests.integration.embedded.processes import children_of, eventually

from dubline.client.calls.jobs import NewJob

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.client import Client, Upload
    from dubline.embedded import Stack

WITHIN_S = 300.0
HALF_WAY = {"sampling", "rendering"}


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    """A picture without a face."""
    path = tmp_path / "wall.png"
    Image.linear_gradient("L").resize((64, 64)).save(path)
    return path


@pytest.fixture
def uploads(client: Client, demo: Path, short_speech: Path, wall: Path) -> dict[str, Upload]:
    files = {
        "ada": (demo / "portraits/ada.jpg", "portrait"),
        "ben": (demo / "portraits/ben.jpg", "portrait"),
        "wall": (wall, "portrait"),
        "hello": (short_speech, "speech"),
    }
    with ThreadPoolExecutor(len(files)) as threads:
        sent = threads.map(lambda file: client.uploads.send(*file), files.values())
        return dict(zip(files, sent, strict=True))


def keys_below(stack: Stack, prefix: str = "") -> list[str]:
    bucket = boto3.client(
        "s3",
        endpoint_url=stack.environ["DUBLINE_BUCKET_ENDPOINT_URL"],
        region_name=stack.environ["DUBLINE_BUCKET_REGION"],
        aws_access_key_id=stack.environ["DUBLINE_BUCKET_ACCESS_KEY"],
        aws_secret_access_key=stack.environ["DUBLINE_BUCKET_SECRET_KEY"],
    )
    try:
        found = bucket.list_objects_v2(Bucket=stack.environ["DUBLINE_BUCKET_NAME"], Prefix=prefix)
        return [one["Key"] for one in found.get("Contents", [])]
    finally:
        bucket.close()


def kill_worker_during_a_job(stack: Stack, client: Client, batch_id: str) -> str:
    """Kill the rendering process during a job; return the job's id."""
    hit: list[str] = []

    def kill() -> bool:
        for job in client.batches.jobs(batch_id):
            if job.stage in HALF_WAY and job.percent > 0:
                for child in children_of(stack.children["renderer"].pid):
                    os.kill(child, signal.SIGKILL)
                hit.append(job.id)
        return bool(hit)

    eventually(kill, WITHIN_S)
    return hit[0]


def test_a_rejected_row_and_a_lost_worker_affect_no_other_job(
    stack: Stack, client: Client, uploads: dict[str, Upload]
) -> None:
    new = [
        NewJob(
            portrait_upload_id=uploads[portrait].id,
            speech_upload_id=uploads["hello"].id,
            custom_id=portrait,
            preset="tiny",
        )
        for portrait in ("ada", "wall", "ben")
    ]
    batch = client.batches.create(new)
    lost = kill_worker_during_a_job(stack, client, batch.id)
    eventually(lambda: client.batches.get(batch.id).finished, WITHIN_S)

    jobs = {job.custom_id: client.jobs.get(job.id) for job in client.batches.jobs(batch.id)}
    bad = jobs.pop("wall")
    assert (bad.state, bad.error and bad.error.code, bad.attempts) == ("failed", "no_face", ())
    assert client.batches.get(batch.id).counts["succeeded"] == 2
    for job in jobs.values():
        causes = [attempt.cause for attempt in job.attempts]
        outcomes = [attempt.outcome for attempt in job.attempts]
        assert causes == (["worker_lost", None] if job.id == lost else [None])
        assert outcomes.count("succeeded") == 1
        assert len(keys_below(stack, f"results/{job.id}/")) == 1
