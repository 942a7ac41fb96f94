"""Calls of jobs: create, poll and cancel a job, and download its video."""

from __future__ import annotations

import errno
import uuid
from typing import TYPE_CHECKING, Any, Final

from dubline.client.calls.backoff import PollBackoff
from dubline.client.calls.options import RequestedOptions
from dubline.client.calls.paths import path_of
from dubline.client.calls.responses import Job, Result
from dubline.client.calls.videos import download, is_video
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from threading import Event

    from dubline.client.calls.transport import Transport

_PATH: Final = "/v1/jobs"


class NewJob(RequestedOptions):
    """A job to be created; None: the server's default."""

    portrait_upload_id: str
    speech_upload_id: str
    custom_id: str | None = None
    deadline_s: float | None = None
    """Seconds from acceptance after which a job that is not final fails; None: no deadline."""

    def body(self) -> dict[str, Any]:
        """Return the request's body."""
        own = self.model_dump(exclude=set(RequestedOptions.model_fields), exclude_none=True)
        return own | self.chosen()


class Jobs:
    """Calls of jobs."""

    def __init__(self, transport: Transport, closing: Event) -> None:
        self._transport = transport
        self._closing = closing

    def create(self, new: NewJob, idempotency_key: str | None = None) -> Job:
        """Queue one job; its uploads must have been checked.

        Args:
            new: the job.
            idempotency_key: with the key and job of an earlier call, that call's job is returned. None: a random key,
                used for all retries of this call.

        Raises:
            ClientError: the server rejected the job or did not respond.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._transport.call(f"POST {_PATH}", Job, body=new.body(), headers=headers)

    def get(self, job_id: str) -> Job:
        """Get a job with its attempts.

        Raises:
            ClientError: the job does not exist, or the server did not respond.
        """
        return self._transport.call(f"GET {path_of(_PATH, job_id)}", Job)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; a final job keeps its state.

        Raises:
            ClientError: the job does not exist, or the server did not respond.
        """
        return self._transport.call(f"POST {path_of(_PATH, job_id, 'cancel')}", Job)

    def delete(self, job_id: str) -> str | None:
        """Delete a job and its video; its uploads are kept.

        Returns:
            The id of the audit entry; None if an earlier try, whose response was lost, may have deleted it.

        Raises:
            ClientError: the job does not exist, or the server did not respond.
        """
        return self._transport.delete(path_of(_PATH, job_id))

    def follow(self, job_id: str) -> Iterator[Job]:
        """Poll a job until it is final.

        Yields:
            The job at each poll.

        Raises:
            ClientError: the job does not exist, or the server did not respond.
        """
        backoff = PollBackoff(self._closing)
        before = None
        while True:
            job = self.get(job_id)
            yield job
            if job.is_final:
                return
            # Without predicted times, which are others at each poll.
            facts = (job.state, job.stage, job.percent)
            backoff.wait(changed=facts != before)
            before = facts

    def download(self, job_id: str, path: Path) -> None:
        """Download the video of a succeeded job; an existing file is replaced.

        Raises:
            ClientError: there is no video, the download failed, or the file cannot be written.
        """
        self._fetch(self.get(job_id), None, path, replace=True)

    def fetch(self, job: Job, path: Path, *, replace: bool = False) -> bool:
        """Download the video of a job unless the file is already there; an interrupted download is continued.

        Args:
            job: a succeeded job, also one of a list; the URL of its result is tried first, if it has one.
            path: the file.
            replace: replace an existing file with other content.

        Returns:
            Whether it was downloaded.

        Raises:
            ClientError: there is no video, the download failed, the file has other content or cannot be written.
        """
        return self._fetch(job, job.result, path, replace=replace)

    def _fetch(self, job: Job, listed: Result | None, path: Path, *, replace: bool) -> bool:
        try:
            if path.exists() and not path.is_file():
                raise FileExistsError(errno.EEXIST, "it is a folder, a device or a pipe")
            if path.exists() and is_video(path, _result_of(job)):
                return False
            if path.exists() and not replace:
                raise FileExistsError(errno.EEXIST, "it exists already and has other content; --force replaces it")
            download(self._transport, job.id, path, listed, lambda: _result_of(self.get(job.id)))
        except OSError as error:
            raise ClientError(f"Cannot write {path}: {error.strerror}.") from error
        return True


def _result_of(job: Job) -> Result:
    if job.result is None:
        reason = f"it was deleted at {job.result_deleted_at}" if job.result_deleted_at else f"it is {job.state}"
        raise ClientError(f"Job {job.id} has no video: {reason}.")
    return job.result
