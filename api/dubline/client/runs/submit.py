"""The run of `dubline submit`: sends two files, creates a job and downloads its video."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from dubline.client.calls.hashes import file_sha256
from dubline.client.calls.jobs import NewJob
from dubline.client.calls.options import DEFAULT, RequestedOptions
from dubline.client.calls.responses import Fault
from dubline.client.errors import ClientError, RefusedError
from dubline.client.runs.batch_files import check_sizes
from dubline.client.runs.outcome import Outcome
from dubline.client.runs.run_state import RunState
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

    def __init__(self, client: Client, options: SubmitOptions, display: ProgressDisplay, *, kept: bool = True) -> None:
        """Prepare a run; no request is sent. `kept`: whether the next run can continue this one."""
        self.job_id = ""
        self._kept = kept
        self._client, self._options, self._display = client, options, display

    def run(self) -> Outcome:
        """Run to the end and return the outcome.

        A job that an earlier run of the same files and options left unfinished is continued.

        Raises:
            ClientError: the server did not respond or rejected the job.
        """
        options, name = self._options, self._options.out.name
        self._client.endure_outages(self._tell)
        state = RunState(options.out.parent, self._client.url, [_text(options)], kept=self._kept)
        with state.forgotten_if_refused():
            fault = self._follow(state.id) if self._continues(state) and state.id else self._send(state)
        state.forget()
        self._display.finish(name, "failed" if fault else "done", fault.code if fault else str(options.out))
        return Outcome(name, None if fault else options.out, fault)

    def _continues(self, state: RunState) -> bool:
        """Tell whether the server still has the job that an earlier run has created."""
        if state.id is None:
            return False
        try:
            self._client.jobs.get(state.id)
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            state.renew()
            return False
        self._display.notice(f"job {state.id} continues: an earlier run has sent it. Nothing is sent again.")
        return True

    def _send(self, state: RunState) -> Fault | None:
        options = self._options
        check_sizes(self._client, options.portrait, options.speech)
        # Before anything is sent: whatever happens afterwards, the next run finds what this one has sent.
        state.save()
        self._display.show(options.out.name, "uploading", 0)
        with ThreadPool(self._client) as threads:
            sending = [
                threads.start(self._client.uploads.send, options.portrait, "portrait", consent=options.consent),
                threads.start(self._client.uploads.send, options.speech, "speech"),
            ]
            portrait, speech = (one.result() for one in sending)
        return portrait.error or speech.error or self._follow(self._create(state, portrait, speech))

    def _create(self, state: RunState, portrait: Upload, speech: Upload) -> str:
        chosen = self._options.requested.chosen()
        new = NewJob(portrait_upload_id=portrait.id, speech_upload_id=speech.id, **chosen)
        try:
            job = self._client.jobs.create(new, state.key)
        except RefusedError as error:
            if error.code != "idempotency_key_reused":
                raise
            # The job of an earlier run had uploads that were deleted since.
            state.renew()
            state.save()
            job = self._client.jobs.create(new, state.key)
        self.job_id = job.id
        state.save(job.id)
        return job.id

    def _tell(self, text: str) -> None:
        self._display.notice(f"job {self.job_id} continues: {text}" if self.job_id else text)

    def _follow(self, job_id: str) -> Fault | None:
        client, options = self._client, self._options
        self.job_id = job_id
        for job in client.jobs.follow(job_id):
            if not job.is_final:
                self._display.show(options.out.name, job.state, job.percent, job.stage or "")
        if job.state != "succeeded":
            return job.error or Fault(code=job.state)
        self._display.show(options.out.name, "downloading", 100)
        client.jobs.download(job_id, options.out)
        return None


def _text(options: SubmitOptions) -> str:
    """Return the job as text that changes with its options and with the content of its files."""
    try:
        contents = [file_sha256(options.portrait), file_sha256(options.speech)]
    except OSError as error:
        raise ClientError(f"Cannot read {error.filename}: {error.strerror}.") from error
    consent = options.consent and options.consent.model_dump(mode="json")
    return json.dumps([options.out.name, *contents, options.requested.chosen(), consent], sort_keys=True)
