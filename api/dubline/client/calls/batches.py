"""Calls of batches: many jobs in one idempotent call."""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from dubline.client.calls.backoff import POLL_MAX_S, PollBackoff
from dubline.client.calls.paths import path_of
from dubline.client.calls.responses import Batch, BatchPage, Job, JobPage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from threading import Event

    from dubline.client.calls.jobs import NewJob
    from dubline.client.calls.transport import Transport

_PATH: Final = "/v1/batches"
_PAGE: Final = 500
#: Seconds for which the server may delay a response in which nothing changed.
_WAIT_S: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Seconds that files are kept after their jobs are final; None: the server's default."""

    inputs_s: int | None = None
    results_s: int | None = None

    def body(self) -> dict[str, Any]:
        """Return the JSON object of the API."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Batches:
    """Calls of batches."""

    def __init__(self, transport: Transport, closing: Event) -> None:
        self._transport = transport
        self._closing = closing

    def create(
        self, jobs: Sequence[NewJob], idempotency_key: str | None = None, retention: Retention | None = None
    ) -> Batch:
        """Queue all jobs, or none.

        Args:
            jobs: at least one; each `custom_id` is unique.
            idempotency_key: with the key and jobs of an earlier call, that call's batch is returned. None: a random
                key, used for all retries of this call.
            retention: retention of the batch's files; None: the tenant's.

        Raises:
            ClientError: the server rejected the batch or did not respond.
        """
        body: dict[str, Any] = {"jobs": [job.body() for job in jobs]}
        if retention:
            body["retention"] = retention.body()
        return self._transport.call(
            f"POST {_PATH}",
            Batch,
            body=body,
            headers={"Idempotency-Key": idempotency_key or str(uuid.uuid4())},
        )

    def get(self, batch_id: str) -> Batch:
        """Get a batch.

        Raises:
            ClientError: the batch does not exist, or the server did not respond.
        """
        return self._transport.call(f"GET {path_of(_PATH, batch_id)}", Batch)

    def find(self, idempotency_key: str) -> str | None:
        """Return the id of the batch that was created with a key; None if there is none.

        Raises:
            ClientError: the server did not respond.
        """
        found = self._transport.call(f"GET {_PATH}?idempotency_key={quote(idempotency_key, safe='')}", BatchPage).data
        return found[0].id if found else None

    def cancel(self, batch_id: str) -> Batch:
        """Cancel every job of a batch that is not final; final jobs keep their state.

        Raises:
            ClientError: the batch does not exist, or the server did not respond.
        """
        return self._transport.call(f"POST {path_of(_PATH, batch_id, 'cancel')}", Batch)

    def delete(self, batch_id: str, *, inputs: bool = False) -> str | None:
        """Delete a batch with all its jobs and videos.

        Args:
            batch_id: the batch.
            inputs: also delete its uploads, except those that a job outside the batch uses.

        Returns:
            The id of the audit entry; None if an earlier try, whose response was lost, may have deleted it.

        Raises:
            ClientError: the batch does not exist, or the server did not respond.
        """
        return self._transport.delete(path_of(_PATH, batch_id) + ("?inputs=true" if inputs else ""))

    def jobs(self, batch_id: str, state: str | None = None) -> Iterator[Job]:
        """Iterate over the jobs of a batch in the order of its rows.

        Args:
            batch_id: the batch.
            state: only jobs in this state; None: all.

        Raises:
            ClientError: the batch does not exist, or the server did not respond.
        """
        for page in self._pages(batch_id, f"&state={state}" if state else ""):
            yield from page.data

    def _pages(self, batch_id: str, query: str) -> Iterator[JobPage]:
        cursor = ""
        while True:
            page = self._transport.call(f"GET {path_of(_PATH, batch_id, 'jobs')}?limit={_PAGE}{query}{cursor}", JobPage)
            yield page
            if not page.next_cursor:
                return
            cursor = f"&cursor={page.next_cursor}"

    def follow(self, batch_id: str) -> Iterator[Job]:
        """Poll the jobs of a batch until all are final; while nothing changes, the server delays its response.

        Yields:
            Each job once, and again whenever it has changed.

        Raises:
            ClientError: the batch does not exist, or the server did not respond.
        """
        backoff = PollBackoff(self._closing)
        seen: dict[str, tuple[object, ...]] = {}
        since: int | None = None
        changed = True
        while True:
            # Requested before the jobs: if the batch is finished, all jobs read afterwards are final.
            finished = self.get(batch_id).finished
            began_s = time.monotonic()
            # Of what has finished since, the videos are wanted; of a batch that is continued, only some.
            query = "" if since is None else f"&changed_since={since}&include=result"
            if query and not changed and not finished:
                query += f"&wait_s={_WAIT_S}"
            pages = list(self._pages(batch_id, query))
            changed = False
            # Of the first page, since a job on it may change while the others are read.
            since = pages[0].changed_until
            for job in (job for page in pages for job in page.data):
                # Without the result, whose URL is different in each response.
                facts = (job.state, job.stage, job.percent)
                if seen.get(job.id) != facts:
                    seen[job.id] = facts
                    changed = True
                    yield job
            if finished:
                return
            if changed or time.monotonic() - began_s < POLL_MAX_S:
                backoff.wait(changed=changed)
