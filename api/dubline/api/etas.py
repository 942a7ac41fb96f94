"""When jobs and batches are done. The queue is read at most every `FRESH_S`, whatever the number of requests."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Final

from dubline.api.progress import eta_s
from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.domain.jobs import FINAL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.batches import Batch
    from dubline.orchestration.domain.eta import Eta, Open, QueueView
    from dubline.orchestration.domain.jobs import Job

#: Time for which the queue is used again.
FRESH_S: Final = 5.0


class Etas:
    """Predicts when jobs and batches are done."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._read_at_s = float("-inf")
        self._view: QueueView | None = None

    def of_job(self, job: Job, attempt_started_at: datetime | None, now: datetime) -> tuple[float | None, float | None]:
        """Predict the seconds until a job is done, and their standard error; None: final, or not known.

        Of a running job that has made progress, the time follows from its progress, and the error is that of the
        prediction for what is left.
        """
        measured_s = eta_s(job, attempt_started_at, now)
        predicted = None if job.state in FINAL else self._predicted(job)
        if predicted is None:
            return measured_s, None
        if measured_s is None:
            return round(predicted.seconds, 1), round(predicted.error_s, 1)
        return measured_s, round(measured_s * predicted.error_s / max(predicted.seconds, 1e-9), 1)

    def of_batch(self, batch: Batch) -> Eta | None:
        """Predict when the last job of a batch is done; None if all are final, or if it is not known."""
        if batch.finished or (view := self._fresh()) is None:
            return None
        return _last(view, self._store.predictions.open_jobs(batch.tenant, batch.id))

    def _predicted(self, job: Job) -> Eta | None:
        view = self._fresh()
        one = None if view is None else self._store.predictions.open_job(job.tenant, job.id)
        return None if view is None or one is None else view.eta(one)

    def _fresh(self) -> QueueView | None:
        with self._lock:
            if time.monotonic() - self._read_at_s > FRESH_S:
                try:
                    self._view = self._store.predictions.queue()
                except DatabaseUnavailableError:
                    self._view = None
                self._read_at_s = time.monotonic()
            return self._view


def _last(view: QueueView, jobs: Iterable[Open]) -> Eta | None:
    etas = [view.eta(one) for one in jobs]
    known = [eta for eta in etas if eta is not None]
    # A batch is done when all are: one that is not known makes the whole unknown.
    return max(known, key=lambda eta: eta.seconds) if known and len(known) == len(etas) else None
