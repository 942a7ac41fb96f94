"""Sends jobs through the real API, as a tenant would, and writes down what the API acknowledged."""

from __future__ import annotations

import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Self, TypeVar

from dubline.client.client import Client
from dubline.client.errors import ClientError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from benchmarks.chaos.history import History

    from dubline.client.calls.jobs import NewJob

Answer = TypeVar("Answer")

INSIST_S: Final = 300.0
AGAIN_S: Final = 0.5
SERVER_ERROR: Final = 500


class Sender:
    """A tenant who repeats every request until it is answered, batches always under the same key.

    Args:
        url: of the API.
        key: of the tenant.
        history: gets what was acknowledged.

    Attributes:
        client: speaks to the API.
        sent: jobs that were acknowledged.
        limit: jobs after which `send_all` waits until it is raised.
        failure: what ended `send_all` early.
    """

    def __init__(self, url: str, key: str, history: History) -> None:
        self.client = Client(url, key)
        self.sent = 0
        self.limit = 0
        self.failure: Exception | None = None
        self._history = history
        self._stop = Event()
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self.client.close()
        if self._thread is not None:
            self._thread.join(INSIST_S)

    @property
    def busy(self) -> bool:
        """Whether batches are still to be sent; raises as `look`."""
        self.look()
        return self._thread is not None and self._thread.is_alive()

    def look(self) -> None:
        """See that `send_all` goes well.

        Raises:
            ClientError: the API refused a batch, or did not answer for five minutes.
        """
        if self.failure is not None:
            raise self.failure

    def upload(self, portrait: Path, speech: Path) -> tuple[str, str]:
        """Send the two files of a job and return their ids.

        Raises:
            ClientError: one was rejected, or nobody answers.
        """
        ids = []
        for path, kind in ((portrait, "portrait"), (speech, "speech")):
            upload = self.client.uploads.send(path, kind)  # type: ignore[arg-type]
            if upload.state != "ready":
                raise ClientError(f"{path} was rejected")
            ids.append(upload.id)
        return ids[0], ids[1]

    def send(self, jobs: Sequence[NewJob], key: str) -> str:
        """Send one batch until it is acknowledged; return its id.

        Raises:
            ClientError: the API refused it, or did not answer for five minutes.
        """
        batch = self._insist(lambda: self.client.batches.create(jobs, key))
        self._history.note("accepted", batch=batch.id, jobs=[job.custom_id for job in jobs])
        self.sent += len(jobs)
        return batch.id

    def send_all(self, batches: Sequence[Sequence[NewJob]], key: str) -> None:
        """Send batches from a thread, as far as the limit allows."""

        def work() -> None:
            try:
                for number, jobs in enumerate(batches):
                    while self.sent >= self.limit:
                        if self._stop.wait(AGAIN_S):
                            return
                    self.send(jobs, f"{key}-{number}")
            except Exception as error:  # noqa: BLE001 - shown to the thread that looks after the campaign
                self.failure = error

        self._thread = Thread(target=work, name="sender", daemon=True)
        self._thread.start()

    def _insist(self, ask: Callable[[], Answer]) -> Answer:
        deadline = time.monotonic() + INSIST_S
        while True:
            try:
                return ask()
            except (UnreachableError, RefusedError) as error:
                refused = isinstance(error, RefusedError) and error.status < SERVER_ERROR
                if refused or time.monotonic() > deadline or self._stop.wait(AGAIN_S):
                    raise
