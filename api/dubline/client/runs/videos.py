"""The videos of a run: downloads each finished one into a folder and keeps the outcome of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.client.errors import ClientError, StoppedError
from dubline.client.runs.filenames import file_names
from dubline.client.runs.outcome import Outcome, fault_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future
    from pathlib import Path

    from dubline.client.calls.responses import Fault, Job
    from dubline.client.cli.display import ProgressDisplay
    from dubline.client.client import Client
    from dubline.client.runs.thread_pool import ThreadPool

_SUFFIX: Final = ".mp4"


class Videos:
    """Downloads videos and shows the outcomes.

    Attributes:
        paths: path of each video by its name.
        outcomes: outcomes so far by name.
        complete: whether every finished video could be fetched so far.
    """

    def __init__(
        self, client: Client, names: Iterable[str], out: Path, display: ProgressDisplay, *, replace: bool
    ) -> None:
        """Prepare downloads; no request is sent.

        Args:
            client: the client.
            names: unique name of each video, in the order of the rows.
            out: folder of the videos.
            display: shows the progress.
            replace: replace existing files that are not the video.
        """
        self.paths = {name: out / file for name, file in file_names(names, _SUFFIX).items()}
        self.outcomes: dict[str, Outcome] = {}
        self.complete = True
        self._client, self._display, self._replace = client, display, replace
        self._fetching: list[Future[None]] = []

    def start(self, threads: ThreadPool, name: str, job: Job) -> None:
        """Download the video of a succeeded job in a thread."""
        self._display.show(name, "downloading", 100)
        self._fetching.append(threads.start(self._fetch, name, job))

    def wait(self) -> None:
        """Wait for all downloads.

        Raises:
            StoppedError: the client was closed.
        """
        for fetch in self._fetching:
            fetch.result()

    def end(self, name: str, path: Path | None, fault: Fault | None) -> None:
        """Record and show an outcome."""
        self.outcomes[name] = Outcome(name, path, fault)
        self._display.finish(name, "failed" if fault else "done", fault.code if fault else str(path))

    def _fetch(self, name: str, job: Job) -> None:
        path = self.paths[name]
        try:
            self._client.jobs.fetch(job, path, replace=self._replace)
        except StoppedError:
            raise
        except ClientError as error:
            self.complete = False
            self.end(name, None, fault_of(error))
        else:
            self.end(name, path, None)
