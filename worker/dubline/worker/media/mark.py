"""The mark in each video's metadata that says that the video is synthetic."""

from __future__ import annotations

from datetime import UTC
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


def of_job(job_id: UUID, accepted_at: datetime) -> str:
    """Return the mark of a job's video.

    It has the time of acceptance and not of rendering, so that every attempt writes the same bytes.
    """
    at = accepted_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"This video is synthetic. tool=Dubline/{version('dubline')} accepted={at} job={job_id}"
