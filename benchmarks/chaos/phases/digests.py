"""Digests of the videos of a phase."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from benchmarks.chaos.testbed.sender import Sender

    from dubline.client.calls.responses import Job


def digests(
    sender: Sender, batches: Iterable[str], video: Path, content: Callable[[bytes], bytes] = bytes
) -> Iterator[tuple[Job, str]]:
    """Fetch the videos of all jobs, one at a time.

    Args:
        sender: of the jobs.
        batches: their ids.
        video: a file that is overwritten, and removed at the end.
        content: returns the part of a video that is compared.

    Yields:
        Each job, and the SHA-256 of its video or why that could not be fetched.
    """
    for job in (job for batch in batches for job in sender.client.batches.jobs(batch)):
        try:
            sender.client.jobs.download(job.id, video)
        except ClientError as error:
            yield job, f"not fetched: {error}"
        else:
            yield job, hashlib.sha256(content(video.read_bytes())).hexdigest()
    video.unlink(missing_ok=True)
