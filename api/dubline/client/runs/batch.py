"""The run of `dubline batch`: sends each file once, creates one batch and downloads each finished video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.client.calls.jobs import NewJob
from dubline.client.calls.responses import Fault
from dubline.client.errors import ClientError, StoppedError, UnreachableError
from dubline.client.runs.filenames import file_names
from dubline.client.runs.outcome import Outcome, fault_of
from dubline.client.runs.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from dubline.client.calls.responses import Job, Upload
    from dubline.client.calls.uploads import Kind
    from dubline.client.cli.display import ProgressDisplay
    from dubline.client.client import Client
    from dubline.client.runs.manifest import Row

_SUFFIX: Final = ".mp4"
_DELETED: Final = Fault(code="not_found", detail="The job was deleted while it was running.")


class BatchRun:
    """One run of a batch file.

    Attributes:
        batch_id: id of the batch; empty until it is created.
    """

    def __init__(self, client: Client, rows: Sequence[Row], out: Path, display: ProgressDisplay) -> None:
        """Prepare a run; no request is sent.

        Args:
            client: the client.
            rows: at least one; each `custom_id` is unique.
            out: folder of the videos.
            display: shows the progress.
        """
        self.batch_id = ""
        self._client = client
        self._rows = rows
        self._display = display
        names = file_names((row.custom_id for row in rows), _SUFFIX)
        self._paths = {custom_id: out / name for custom_id, name in names.items()}
        self._outcomes: dict[str, Outcome] = {}

    def run(self) -> list[Outcome]:
        """Run to the end and return the outcome of each row, in order.

        Raises:
            ClientError: the server did not respond or rejected the batch.
        """
        self._client.endure_outages(self._tell)
        with ThreadPool(self._client) as threads:
            jobs = self._upload(threads)
            if jobs:
                self._follow(threads, jobs)
        return [self._outcomes[row.custom_id] for row in self._rows]

    def _tell(self, text: str) -> None:
        self._display.notice(f"batch {self.batch_id} continues: {text}" if self.batch_id else text)

    def _upload(self, threads: ThreadPool) -> list[NewJob]:
        sent: dict[tuple[Path, Kind], Future[Upload]] = {}
        for row in self._rows:
            for path, kind in _files(row):
                if (path, kind) not in sent:
                    sent[path, kind] = threads.start(self._client.uploads.send, path, kind)
        jobs = []
        for row in self._rows:
            self._display.show(row.custom_id, "uploading", 0)
            try:
                portrait, speech = (sent[file].result() for file in _files(row))
            except (StoppedError, UnreachableError):
                raise
            except ClientError as error:
                self._end(row.custom_id, None, fault_of(error))
            else:
                jobs.append(_new_job(row, portrait, speech))
        return jobs

    def _follow(self, threads: ThreadPool, jobs: Sequence[NewJob]) -> None:
        self.batch_id = self._client.batches.create(jobs).id
        fetching: list[Future[None]] = []
        for job in self._client.batches.follow(self.batch_id):
            name = job.custom_id or job.id
            if job.state == "succeeded":
                self._display.show(name, "downloading", 100)
                fetching.append(threads.start(self._fetch, name, job))
            elif job.is_final:
                self._end(name, None, job.error or Fault(code=job.state))
            else:
                self._display.show(name, job.state, job.percent, job.stage or "")
        for fetch in fetching:
            fetch.result()
        for new in jobs:
            if new.custom_id and new.custom_id not in self._outcomes:
                self._end(new.custom_id, None, _DELETED)

    def _fetch(self, name: str, job: Job) -> None:
        try:
            self._client.jobs.download(job.id, self._paths[name])
        except StoppedError:
            raise
        except ClientError as error:
            self._end(name, None, fault_of(error))
        else:
            self._end(name, self._paths[name], None)

    def _end(self, name: str, path: Path | None, fault: Fault | None) -> None:
        self._outcomes[name] = Outcome(name, path, fault)
        self._display.finish(name, "failed" if fault else "done", fault.code if fault else str(path))


def _files(row: Row) -> tuple[tuple[Path, Kind], tuple[Path, Kind]]:
    return (row.portrait, "portrait"), (row.speech, "speech")


def _new_job(row: Row, portrait: Upload, speech: Upload) -> NewJob:
    # Also for rejected uploads: the job fails immediately, and the server stores the reason with it.
    return NewJob(
        portrait_upload_id=portrait.id,
        speech_upload_id=speech.id,
        custom_id=row.custom_id,
        deadline_s=row.deadline_s,
        **row.chosen(),
    )
