"""The run of `dubline download`: fetches the finished videos of a batch or a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.client.runs.thread_pool import ThreadPool
from dubline.client.runs.videos import Videos

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dubline.client.calls.responses import Job
    from dubline.client.cli.display import ProgressDisplay
    from dubline.client.client import Client
    from dubline.client.runs.outcome import Outcome


def download(
    client: Client, jobs: Sequence[Job], out: Path, display: ProgressDisplay, *, replace: bool
) -> list[Outcome]:
    """Download the video of each succeeded job that is not in the folder yet; return their outcomes.

    Args:
        client: the client.
        jobs: all jobs of a batch in the order of its rows, which the names of files depend on; or one job.
        out: folder of the videos.
        display: shows the progress.
        replace: replace existing files that are not the video.

    Raises:
        ClientError: the server does not respond.
    """
    client.endure_outages(display.notice)
    videos = Videos(client, (job.custom_id or job.id for job in jobs), out, display, replace=replace)
    with ThreadPool(client) as threads:
        for job in jobs:
            if job.state == "succeeded" and job.result:
                videos.start(threads, job.custom_id or job.id, job)
        videos.wait()
    return list(videos.outcomes.values())
