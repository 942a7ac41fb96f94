"""The run of `dubline submit`: sends two files, creates a job and downloads its video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.client.calls.jobs import NewJob
from dubline.client.calls.options import DEFAULT, RequestedOptions
from dubline.client.calls.responses import Fault
from dubline.client.runs.batch_files import check_sizes
from dubline.client.runs.outcome import Outcome
from dubline.client.runs.thread_pool import ThreadPool

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.client.calls.consent import Consent
    from dubline.client.calls.responses import Upload
    from dubline.client.cli.display import ProgressDisplay
    from dubline.client.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """The options of `dubline submit`; None: the server's default."""

    portrait: Path
    speech: Path
    out: Path
    requested: RequestedOptions = DEFAULT
    consent: Consent | None = None
    """Of the person in the portrait."""


class SubmitRun:
    """One run of `dubline submit`.

    Attributes:
        job_id: id of the job; empty until it is created.
    """

    def __init__(self, client: Client, options: SubmitOptions, display: ProgressDisplay) -> None:
        """Prepare a run; no request is sent."""
        self.job_id = ""
        self._client, self._options, self._display = client, options, display

    def run(self) -> Outcome:
        """Run to the end and return the outcome.

        Raises:
            ClientError: the server did not respond or rejected the job.
        """
        options, name = self._options, self._options.out.name
        self._client.endure_outages(self._tell)
        check_sizes(self._client, options.portrait, options.speech)
        self._display.show(name, "uploading", 0)
        with ThreadPool(self._client) as threads:
            sending = [
                threads.start(self._client.uploads.send, options.portrait, "portrait", consent=options.consent),
                threads.start(self._client.uploads.send, options.speech, "speech"),
            ]
            portrait, speech = (one.result() for one in sending)
        fault = portrait.error or speech.error or self._render(portrait, speech)
        self._display.finish(name, "failed" if fault else "done", fault.code if fault else str(options.out))
        return Outcome(name, None if fault else options.out, fault)

    def _tell(self, text: str) -> None:
        self._display.notice(f"job {self.job_id} continues: {text}" if self.job_id else text)

    def _render(self, portrait: Upload, speech: Upload) -> Fault | None:
        client, options = self._client, self._options
        new = NewJob(portrait_upload_id=portrait.id, speech_upload_id=speech.id, **options.requested.chosen())
        job = client.jobs.create(new)
        self.job_id = job.id
        for seen in client.jobs.follow(job.id):
            job = seen
            if not job.is_final:
                self._display.show(options.out.name, job.state, job.percent, job.stage or "")
        if job.state != "succeeded":
            return job.error or Fault(code=job.state)
        self._display.show(options.out.name, "downloading", 100)
        client.jobs.download(job.id, options.out)
        return None
