"""Jobs: ask for a video, follow it, fetch it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dubline.client.calls.backoff import Looks
from dubline.client.calls.options import RequestedOptions
from dubline.client.calls.responses import Job
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from threading import Event

    from dubline.client.calls.transport import Transport

_PATH: Final = "/v1/jobs"


class NewJob(RequestedOptions):
    """What to ask for; None leaves the choice to the server."""

    portrait_upload_id: str
    speech_upload_id: str
    custom_id: str | None = None
    deadline_s: float | None = None
    """Seconds from acceptance until it fails unless it is final; None for no deadline."""

    def body(self) -> dict[str, Any]:
        """Return the request's body."""
        own = self.model_dump(exclude=set(RequestedOptions.model_fields), exclude_none=True)
        return own | self.chosen()


class Jobs:
    """The job calls."""

    def __init__(self, transport: Transport, closing: Event) -> None:
        self._transport = transport
        self._closing = closing

    def create(self, new: NewJob) -> Job:
        """Queue one job; its uploads must have been checked.

        Raises:
            ClientError: the server refused, or there is no answer.
        """
        # Sent twice it would be two jobs.
        return self._transport.call(f"POST {_PATH}", Job, body=new.body(), repeatable=False)

    def get(self, job_id: str) -> Job:
        """Look at a job, with its attempts.

        Raises:
            ClientError: there is no such job, or no answer.
        """
        return self._transport.call(f"GET {_PATH}/{job_id}", Job)

    def cancel(self, job_id: str) -> Job:
        """Stop a job; one that is final already stays as it is.

        Raises:
            ClientError: there is no such job, or no answer.
        """
        return self._transport.call(f"POST {_PATH}/{job_id}/cancel", Job)

    def delete(self, job_id: str) -> str | None:
        """Remove a job and its video for good; its uploads stay.

        Returns:
            As `Transport.delete`.

        Raises:
            ClientError: there is no such job, or no answer.
        """
        return self._transport.delete(f"{_PATH}/{job_id}")

    def follow(self, job_id: str) -> Iterator[Job]:
        """Look at a job again and again, until it is final.

        Yields:
            The job as it was at each look.

        Raises:
            ClientError: there is no such job, or no answer.
        """
        looks = Looks(self._closing)
        before = None
        while True:
            job = self.get(job_id)
            yield job
            if job.is_final:
                return
            looks.wait(changed=job != before)
            before = job

    def download(self, job_id: str, path: Path) -> None:
        """Fetch the video of a job that succeeded; an existing file is replaced.

        Raises:
            ClientError: there is no video, it cannot be fetched, or the file cannot be written.
        """
        job = self.get(job_id)
        if job.result is None:
            why = f"it was deleted at {job.result_deleted_at}" if job.result_deleted_at else f"it is {job.state}"
            raise ClientError(f"Job {job_id} has no video: {why}.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._transport.get_file(job.result.url, path)
        except OSError as error:
            raise ClientError(f"Cannot write {path}: {error.strerror}.") from error
