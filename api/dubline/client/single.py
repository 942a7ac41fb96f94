"""One video from start to end: two files sent, one job, its video fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.client.answers import Fault
from dubline.client.controls import UNSAID, Controls
from dubline.client.jobs import NewJob
from dubline.client.outcome import Outcome
from dubline.client.threads import Threads

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.client.answers import Upload
    from dubline.client.board import Board
    from dubline.client.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants, in terms of files; None leaves the choice to the server."""

    portrait: Path
    speech: Path
    out: Path
    preset: str | None = None
    seed: int | None = None
    controls: Controls = UNSAID


def make_one(client: Client, wish: Wish, board: Board) -> Outcome:
    """Make one video and say how it ended.

    Raises:
        ClientError: the server cannot be reached or refused.
    """
    name = wish.out.name
    board.show(name, "uploading", 0)
    with Threads(client) as threads:
        sending = [
            threads.start(client.uploads.send, wish.portrait, "portrait"),
            threads.start(client.uploads.send, wish.speech, "speech"),
        ]
        portrait, speech = (one.result() for one in sending)
    fault = portrait.error or speech.error or _render(client, wish, (portrait, speech), board)
    board.finish(name, "failed" if fault else "done", fault.code if fault else str(wish.out))
    return Outcome(name, None if fault else wish.out, fault)


def _render(client: Client, wish: Wish, uploads: tuple[Upload, Upload], board: Board) -> Fault | None:
    portrait, speech = uploads
    new = NewJob(
        portrait_upload_id=portrait.id,
        speech_upload_id=speech.id,
        preset=wish.preset,
        seed=wish.seed,
        controls=wish.controls,
    )
    job = client.jobs.create(new)
    for seen in client.jobs.follow(job.id):
        job = seen
        if not job.is_final:
            board.show(wish.out.name, job.state, job.percent, job.stage or "")
    if job.state != "succeeded":
        return job.error or Fault(code=job.state)
    board.show(wish.out.name, "downloading", 100)
    client.jobs.download(job.id, wish.out)
    return None
