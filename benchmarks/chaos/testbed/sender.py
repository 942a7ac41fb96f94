"""Sender: submits jobs through the public API and records what the API acknowledged."""

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

Response = TypeVar("Response")

#: How long a request is retried.
RETRY_FOR_S: Final = 300.0
RETRY_EVERY_S: Final = 0.5
SERVER_ERROR: Final = 500


class Sender:
    """Tenant that retries every request until the API acknowledges it; a batch always has the same idempotency key.

    Args:
        url: address of the API.
        key: API key of the tenant.
        history: receives an `accepted` event per batch.

    Attributes:
        client: client of the API.
        sent: acknowledged jobs.
        limit: `send_all` waits while `sent` is at least this.
        failure: error that ended `send_all`.
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
            self._thread.join(RETRY_FOR_S)

    @property
    def busy(self) -> bool:
        """Whether batches are still to be sent; raises as `raise_failure`."""
        self.raise_failure()
        return self._thread is not None and self._thread.is_alive()

    def raise_failure(self) -> None:
        """Raise the error that ended `send_all`, if there is one.

        Raises:
            ClientError: the API refused a batch, or did not answer for five minutes.
        """
        if self.failure is not None:
            raise self.failure

    def upload(self, portrait: Path, speech: Path) -> tuple[str, str]:
        """Upload the two files of a job; return their upload ids.

        Raises:
            ClientError: a file was rejected, or the API did not answer.
        """
        ids = []
        for path, kind in ((portrait, "portrait"), (speech, "speech")):
            upload = self.client.uploads.send(path, kind)  # type: ignore[arg-type]
            if upload.state != "ready":
                raise ClientError(f"{path} was rejected")
            ids.append(upload.id)
        return ids[0], ids[1]

    def send(self, jobs: Sequence[NewJob], key: str) -> str:
        """Send one batch until the API acknowledges it; return its id.

        Raises:
            ClientError: the API refused it, or did not answer for five minutes.
        """
        batch = self._retry(lambda: self.client.batches.create(jobs, key))
        self._history.record("accepted", batch=batch.id, jobs=[job.custom_id for job in jobs])
        self.sent += len(jobs)
        return batch.id

    def send_all(self, batches: Sequence[Sequence[NewJob]], key: str) -> None:
        """Send batches from a thread, up to the limit."""

        def work() -> None:
            try:
                for number, jobs in enumerate(batches):
                    while self.sent >= self.limit:
                        if self._stop.wait(RETRY_EVERY_S):
                            return
                    self.send(jobs, f"{key}-{number}")
            except Exception as error:  # noqa: BLE001 - raised by `raise_failure` in the main thread
                self.failure = error

        self._thread = Thread(target=work, name="sender", daemon=True)
        self._thread.start()

    def _retry(self, request: Callable[[], Response]) -> Response:
        deadline = time.monotonic() + RETRY_FOR_S
        while True:
            try:
                return request()
            except (UnreachableError, RefusedError) as error:
                refused = isinstance(error, RefusedError) and error.status < SERVER_ERROR
                if refused or time.monotonic() > deadline or self._stop.wait(RETRY_EVERY_S):
                    raise
