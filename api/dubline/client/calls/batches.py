"""Batches: many jobs in one call that can be repeated without doing the work twice."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from dubline.client.calls.backoff import Looks
from dubline.client.calls.responses import Batch, Job, JobPage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from threading import Event

    from dubline.client.calls.jobs import NewJob
    from dubline.client.calls.transport import Transport

_PATH: Final = "/v1/batches"
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For how many seconds files are kept once their jobs have ended; None leaves the choice to the server."""

    inputs_s: int | None = None
    results_s: int | None = None

    def body(self) -> dict[str, Any]:
        """Put it into the words of the API."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Batches:
    """The batch calls."""

    def __init__(self, transport: Transport, closing: Event) -> None:
        self._transport = transport
        self._closing = closing

    def create(
        self, jobs: Sequence[NewJob], idempotency_key: str | None = None, retention: Retention | None = None
    ) -> Batch:
        """Queue jobs together: all of them or none.

        Args:
            jobs: one or more, each `custom_id` once.
            idempotency_key: the same key and jobs give the batch that exists; a new key if None, which all
                retries of this call share.
            retention: when its files are deleted; the tenant's rule if None.

        Raises:
            ClientError: the server refused, or there is no answer.
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
        """Look at a batch.

        Raises:
            ClientError: there is no such batch, or no answer.
        """
        return self._transport.call(f"GET {_PATH}/{batch_id}", Batch)

    def cancel(self, batch_id: str) -> Batch:
        """Stop every job of a batch that is not final; the others stay as they are.

        Raises:
            ClientError: there is no such batch, or no answer.
        """
        return self._transport.call(f"POST {_PATH}/{batch_id}/cancel", Batch)

    def delete(self, batch_id: str, *, inputs: bool = False) -> str | None:
        """Remove a batch with all its jobs and videos for good.

        Args:
            batch_id: which batch.
            inputs: its uploads too, except those that a job outside of it names.

        Returns:
            As `Transport.delete`.

        Raises:
            ClientError: there is no such batch, or no answer.
        """
        return self._transport.delete(f"{_PATH}/{batch_id}" + ("?inputs=true" if inputs else ""))

    def jobs(self, batch_id: str) -> Iterator[Job]:
        """Look at all jobs of a batch, in the order of its rows.

        Raises:
            ClientError: there is no such batch, or no answer.
        """
        cursor = ""
        while True:
            query = f"limit={_PAGE}" + (f"&cursor={cursor}" if cursor else "")
            page = self._transport.call(f"GET {_PATH}/{batch_id}/jobs?{query}", JobPage)
            yield from page.data
            if not page.next_cursor:
                return
            cursor = page.next_cursor

    def follow(self, batch_id: str) -> Iterator[Job]:
        """Look at the jobs of a batch again and again, until all are final.

        Yields:
            Each job when it is first seen and whenever it has changed.

        Raises:
            ClientError: there is no such batch, or no answer.
        """
        looks = Looks(self._closing)
        seen: dict[str, tuple[object, ...]] = {}
        while True:
            # Asked before the jobs: if it is finished, the jobs that follow are final.
            finished = self.get(batch_id).finished
            changed = False
            for job in self.jobs(batch_id):
                # Not the result, whose address is new at each look.
                facts = (job.state, job.stage, job.percent)
                if seen.get(job.id) != facts:
                    seen[job.id] = facts
                    changed = True
                    yield job
            if finished:
                return
            looks.wait(changed=changed)
