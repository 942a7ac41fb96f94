"""One video from start to end: two files sent, one job, its video fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.client.calls.responses import Fault
from dubline.client.calls.jobs import NewJob
from dubline.client.calls.options import DEFAULT, RequestedOptions
from dubline.client.runs.outcome import Outcome
from dubline.client.runs.threads import Threads

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.client.calls.responses import Upload
    from dubline.client.cli.display import Board
    from dubline.client.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants, in terms of files; None leaves the choice to the server."""

    portrait: Path
    speech: Path
    out: Path
    options: RequestedOptions = DEFAULT


class Single:
    """One run of a wish.

    Attributes:
        job_id: the job at the server; empty until there is one.
    """

    def __init__(self, client: Client, wish: Wish, board: Board) -> None:
        """Nothing is sent yet."""
        self.job_id = ""
        self._client, self._wish, self._board = client, wish, board

    def run(self) -> Outcome:
        """Make the video and say how it ended.

        Raises:
            ClientError: the server cannot be reached or refused.
        """
        wish, name = self._wish, self._wish.out.name
        self._board.show(name, "uploading", 0)
        with Threads(self._client) as threads:
            sending = [
                threads.start(self._client.uploads.send, wish.portrait, "portrait"),
                threads.start(self._client.uploads.send, wish.speech, "speech"),
            ]
            portrait, speech = (one.result() for one in sending)
        fault = portrait.error or speech.error or self._render(portrait, speech)
        self._board.finish(name, "failed" if fault else "done", fault.code if fault else str(wish.out))
        return Outcome(name, None if fault else wish.out, fault)

    def _render(self, portrait: Upload, speech: Upload) -> Fault | None:
        client, wish = self._client, self._wish
        new = NewJob(portrait_upload_id=portrait.id, speech_upload_id=speech.id, **wish.options.chosen())
        job = client.jobs.create(new)
        self.job_id = job.id
        for seen in client.jobs.follow(job.id):
            job = seen
            if not job.is_final:
                self._board.show(wish.out.name, job.state, job.percent, job.stage or "")
        if job.state != "succeeded":
            return job.error or Fault(code=job.state)
        self._board.show(wish.out.name, "downloading", 100)
        client.jobs.download(job.id, wish.out)
        return None
