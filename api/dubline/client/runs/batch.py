"""The run of `dubline batch`: sends each file once, creates one batch and downloads each finished video."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from dubline.client.calls.jobs import NewJob
from dubline.client.calls.responses import Fault
from dubline.client.errors import ClientError, RefusedError, StoppedError, UnreachableError
from dubline.client.runs.batch_files import check_limits, files_of, hashes, hashes_of
from dubline.client.runs.outcome import fault_of
from dubline.client.runs.run_state import RunState
from dubline.client.runs.thread_pool import ThreadPool
from dubline.client.runs.video_hashes import VideoHashes
from dubline.client.runs.videos import Videos

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from concurrent.futures import Future
    from pathlib import Path

    from dubline.client.calls.responses import Upload
    from dubline.client.cli.display import ProgressDisplay
    from dubline.client.client import Client
    from dubline.client.runs.manifest import Row
    from dubline.client.runs.outcome import Outcome

_SHOWN: Final = 5
_MISSING: Final = Fault(
    code="not_found", detail="The batch has no job of this row: its file was refused, or the job was deleted."
)


class BatchRun:
    """One run of a batch file.

    Attributes:
        batch_id: id of the batch; empty until it is known.
    """

    def __init__(  # noqa: PLR0913 - whose run it is, and its options
        self,
        client: Client,
        rows: Sequence[Row],
        out: Path,
        display: ProgressDisplay,
        *,
        replace: bool = False,
        kept: bool = True,
    ) -> None:
        """Prepare a run; no request is sent.

        Args:
            client: the client.
            rows: at least one; each `custom_id` is unique.
            out: folder of the videos; it exists.
            display: shows the progress.
            replace: replace existing files of the same names.
            kept: whether the next run can continue this one.
        """
        self.batch_id = ""
        self._client = client
        self._rows = rows
        self._out = out
        self._display = display
        self._replace = replace
        self._kept = kept
        self._videos = Videos(client, (row.custom_id for row in rows), out, display, replace=replace)

    def run(self) -> list[Outcome]:
        """Run to the end and return the outcome of each row, in order.

        A batch that an earlier run of the same rows left unfinished is continued. Otherwise videos that earlier runs
        have rendered for the rows as they are now are kept if they are unaltered, and the other rows are sent.

        Raises:
            ClientError: the server did not respond or rejected the batch, or files would be replaced.
        """
        self._client.endure_outages(self._tell)
        with ThreadPool(self._client) as threads:
            sha256 = hashes(threads, self._rows)
            texts = (_text(row, sha256) for row in self._rows)
            state = RunState(self._out, self._client.url, texts, kept=self._kept)
            made = VideoHashes(self._out, {row.custom_id: _text(row, sha256, {"deadline_s"}) for row in self._rows})
            with state.forgotten_if_refused():
                self.batch_id = self._left(state) or self._send(threads, state, made, sha256)
            if self.batch_id:
                state.save(self.batch_id)
                self._follow(threads, made)
        if self._videos.complete:
            state.forget()
            made.remove_parts()
        return [self._videos.outcomes[row.custom_id] for row in self._rows]

    @property
    def is_complete(self) -> bool:
        """Whether every finished video could be fetched so far."""
        return self._videos.complete

    def _tell(self, text: str) -> None:
        self._display.notice(f"batch {self.batch_id} continues: {text}" if self.batch_id else text)

    def _left(self, state: RunState) -> str:
        """Return the id of the batch that an earlier run has left; empty if there is none."""
        if state.is_new:
            return ""
        found = state.id or self._client.batches.find(state.key) or ""
        try:
            if found:
                self._client.batches.get(found)
                self._display.notice(f"batch {found} continues: an earlier run has sent it. Nothing is sent again.")
            else:
                self._display.notice("An earlier run was interrupted. What the server has already is not sent again.")
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            state.renew()
            return ""
        return found

    def _send(self, threads: ThreadPool, state: RunState, made: VideoHashes, sha256: Mapping[Path, str | None]) -> str:
        """Send the files and create the batch; return its id, which is empty if there is nothing to send."""
        existing = self._existing(threads, made, self._rows)
        kept = {name for name, content in existing.items() if content in made.of(name)}
        rows = [row for row in self._rows if row.custom_id not in kept]
        other = [name for name in existing if name not in kept]
        if rows:
            check_limits(self._client, rows)
            if other and not self._replace:
                raise self._refusal([name for name in other if existing[name] in made.before(name)], other, len(kept))
            # Before anything is sent: whatever happens afterwards, the next run finds what this one has sent.
            state.save()
        self._tell_of_existing(len(kept), len(rows), len(other))
        for name in (row.custom_id for row in self._rows if row.custom_id in kept):
            self._videos.end(name, self._videos.paths[name], None)
        jobs = self._upload(threads, rows, sha256)
        if not jobs:
            return ""
        try:
            return self._client.batches.create(jobs, state.key).id
        except RefusedError as error:
            # An earlier run has sent it with other uploads, and its response was lost.
            found = self._client.batches.find(state.key) if error.code == "idempotency_key_reused" else None
            if found is None:
                raise
            return found

    def _existing(self, threads: ThreadPool, made: VideoHashes, rows: Sequence[Row]) -> dict[str, str | None]:
        """Return the names of the rows whose file exists, with its SHA-256; None if no run has rendered the row."""
        paths = {row.custom_id: self._videos.paths[row.custom_id] for row in rows}
        contents = hashes_of(threads, (path for name, path in paths.items() if made.knows(name) and path.is_file()))
        return {name: contents.get(path) for name, path in paths.items() if path.exists()}

    def _refusal(self, changed: Sequence[str], other: Sequence[str], kept: int) -> ClientError:
        """Return the error for files in the place of videos that must be rendered, of which some rows have changed."""
        remark = " (its row, or a file of it, has changed since)"
        lines = [f"{self._videos.paths[name]}{remark if name in changed else ''}" for name in other[:_SHOWN]]
        more = [f"... and {len(other) - _SHOWN} more"] if len(other) > _SHOWN else []
        rest = f"; {kept} of {len(self._rows)} videos are unaltered and kept" if kept else ""
        return ClientError(
            "These files exist already, and no run in this folder has made them for these rows:\n"
            + "\n".join((*lines, *more))
            + f"\nNothing was sent. With --force these rows are rendered and the files replaced{rest}. "
            "Or name another folder with --out."
        )

    def _tell_of_existing(self, kept: int, sent: int, replaced: int) -> None:
        if kept:
            rest = (
                "They are kept, and the other rows are sent."
                if sent
                else "Nothing is sent. To render one again, remove its file."
            )
            count = f"{kept} of {len(self._rows)} videos are in the folder, unaltered, from an earlier run."
            self._display.notice(f"{count} {rest}")
        if replaced:
            self._display.notice(
                f"{replaced} of {len(self._rows)} videos are replaced, each when its new one is complete."
            )

    def _upload(self, threads: ThreadPool, rows: Sequence[Row], sha256: Mapping[Path, str | None]) -> list[NewJob]:
        sent: dict[object, Future[Upload]] = {}
        for row in rows:
            for path, kind, consent in files_of(row):
                # By content: equal files are sent once.
                content = (sha256[path] or path, kind, consent)
                if content not in sent:
                    sent[content] = threads.start(self._client.uploads.send, path, kind, sha256[path], consent)
        jobs = []
        for row in rows:
            self._display.show(row.custom_id, "uploading", 0)
            try:
                portrait, speech = (sent[sha256[path] or path, *rest].result() for path, *rest in files_of(row))
            except (StoppedError, UnreachableError):
                raise
            except ClientError as error:
                self._videos.end(row.custom_id, None, fault_of(error))
            else:
                jobs.append(_new_job(row, portrait, speech))
        return jobs

    def _follow(self, threads: ThreadPool, made: VideoHashes) -> None:
        known = {row.custom_id for row in self._rows}
        for job in self._client.batches.follow(self.batch_id):
            name = job.custom_id
            if name is None or name not in known:
                continue
            if job.state == "succeeded":
                if job.result and job.result.sha256:
                    # Before the download: whenever it is interrupted, the next run knows the video.
                    made.add(name, job.result.sha256, job.id)
                self._videos.start(threads, name, job)
            elif job.is_final:
                self._videos.end(name, None, job.error or Fault(code=job.state))
            else:
                self._display.show(name, job.state, job.percent, job.stage or "")
        self._videos.wait()
        # A batch has no jobs of the rows that had videos when it was sent.
        left = [row for row in self._rows if row.custom_id not in self._videos.outcomes]
        existing = self._existing(threads, made, left)
        for name in (row.custom_id for row in left):
            kept = existing.get(name) in made.of(name)
            self._videos.end(name, *((self._videos.paths[name], None) if kept else (None, _MISSING)))


def _text(row: Row, sha256: Mapping[Path, str | None], without: AbstractSet[str] = frozenset()) -> str:
    """Return a row as text that changes with its options, except some, and with the content of its files."""
    contents = {"portrait": sha256[row.portrait], "speech": sha256[row.speech]}
    options = row.model_dump(mode="json", exclude=set(contents) | without, exclude_none=True)
    return json.dumps(options | contents, sort_keys=True)


def _new_job(row: Row, portrait: Upload, speech: Upload) -> NewJob:
    # Also for rejected uploads: the job fails immediately, and the server stores the reason with it.
    return NewJob(
        portrait_upload_id=portrait.id,
        speech_upload_id=speech.id,
        custom_id=row.custom_id,
        deadline_s=row.deadline_s,
        **row.chosen(),
    )
