"""The life of inputs under any order of creations, ends, deletions and time, compared with the rule in plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.integration.conftest import empty
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import column, counted_holdings, pass_time, rows

from dubline.orchestration.database.store.deletion import upload_life
from dubline.orchestration.domain.batches import Retention
from dubline.orchestration.domain.errors import DublineError, UploadInUseError
from dubline.orchestration.domain.uploads import UNUSED_S, UploadKind

if TYPE_CHECKING:
    from uuid import UUID

    from dubline.orchestration.database.store import Store

TENANT = "acme"
HOUR_S = 3600
#: No sum of steps is a period, so that no date is reached exactly.
PERIODS_S = [None, 2 * HOUR_S + 300, 50 * HOUR_S + 300]
STEPS_S = [3 * HOUR_S - 60, 3 * HOUR_S - 60, 51 * HOUR_S - 60, 100 * HOUR_S - 60]

#: The dates of each upload in seconds from now.
DATES = """
SELECT id, extract(epoch FROM dated.ends_at - now())::float8 AS ends_s,
    extract(epoch FROM review_at - now())::float8 AS review_s,
    extract(epoch FROM delete_by - now())::float8 AS promise_s,
    extract(epoch FROM unused_since - now())::float8 AS unused_s
FROM ({ends}) AS dated JOIN uploads USING (id)
"""
JOBS = """
SELECT id, portrait_upload_id, speech_upload_id, finalized_at IS NULL AS open FROM jobs
WHERE batch_id = :id ORDER BY position
"""
#: The clock of the database runs on during a walk.
TOLERANCE_S = 240

STEPS = 26
#: Ten walks; `make long` does twenty more.
SEEDS = [*range(10), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(10, 30))]
ACTIONS = [
    *["submit"] * 5,
    *["wait"] * 4,
    *["upload"] * 4,
    *["delete_job"] * 4,
    *["end"] * 2,
    *["delete_batch"] * 2,
    *("submit_single", "delete_upload", "set_retention"),
]


@dataclass
class ModelBatch:
    """A batch, or the single job that was submitted alone."""

    inputs_s: int | None
    id: UUID | None = None
    ended_at: float = inf

    def asks(self) -> float | None:
        """Return until when it asks for its inputs; None: it asks for nothing."""
        return None if self.inputs_s is None else self.ended_at + self.inputs_s


@dataclass
class ModelJob:
    batch: ModelBatch
    names: frozenset[UUID]
    open: bool = True


@dataclass
class ModelUpload:
    created_at: float
    unused_since: float
    promised: list[float] = field(default_factory=list)


class RandomWalk:
    """One tenant with uploads, single jobs, and batches with and without a retention period."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        empty(self.store)
        self.factory = JobFactory(self.store, TENANT)
        self.draw = Random(seed)  # noqa: S311 - no secret
        self.done: list[str] = []
        self.now = 0.0
        self.tenant_s: int | None = None
        self.jobs: dict[UUID, ModelJob] = {}
        self.live: dict[UUID, ModelUpload] = {}
        for upload in (self.factory.portrait, self.factory.speech):
            self.live[upload.id] = ModelUpload(0.0, 0.0)

    def any_upload(self, number: int) -> UUID:
        """Return one of the last live uploads; without one, create it."""
        return list(self.live)[-1 - number % len(self.live)] if self.live else self.new_upload(UploadKind.PORTRAIT)

    def any_batch(self, number: int) -> ModelBatch | None:
        batches = list({id(job.batch): job.batch for job in self.jobs.values()}.values())
        return batches[-1 - number % len(batches)] if batches else None

    def jobs_of(self, batch: ModelBatch) -> list[UUID]:
        return [job_id for job_id, job in self.jobs.items() if job.batch is batch]

    def naming(self, upload_id: UUID) -> list[ModelJob]:
        return [job for job in self.jobs.values() if upload_id in job.names]

    def in_use(self, upload_id: UUID) -> bool:
        return any(job.open for job in self.naming(upload_id))

    def asked(self, upload_id: UUID) -> list[float]:
        """Return until when batches with a period ask for an upload."""
        return [ask for job in self.naming(upload_id) if (ask := job.batch.asks()) is not None]

    def ends_at(self, upload_id: UUID) -> float:
        """Return the end of the life of an upload that no open job names: the rule."""
        upload, jobs, asked = self.live[upload_id], self.naming(upload_id), self.asked(upload_id)
        if asked:
            end = max(asked)
        elif upload.promised:
            end = min(upload.promised)
        else:
            end = inf if jobs else upload.unused_since + UNUSED_S
        return end if self.tenant_s is None else min(end, upload.created_at + self.tenant_s)

    def end_batch(self, batch: ModelBatch) -> None:
        if batch.ended_at == inf and not any(self.jobs[job_id].open for job_id in self.jobs_of(batch)):
            batch.ended_at = self.now

    def forget(self, job_ids: list[UUID]) -> None:
        """Delete jobs of one batch; its promise stays for the uploads that it does not name any more."""
        for job_id in job_ids:
            self.jobs[job_id].open = False
        gone = {job_id: self.jobs[job_id] for job_id in job_ids}
        for job in gone.values():
            self.end_batch(job.batch)
        for job_id, job in gone.items():
            del self.jobs[job_id]
            promise = job.batch.asks()
            for upload_id in job.names & self.live.keys():
                self.live[upload_id].unused_since = self.now
                named = any(other.batch is job.batch for other in self.naming(upload_id))
                if promise is not None and not named:
                    self.live[upload_id].promised.append(self.now + job.batch.inputs_s if promise == inf else promise)

    def step(self) -> None:
        """Do one of the actions."""
        draw = self.draw
        action, flag, seconds = draw.choice(ACTIONS), draw.random() < 0.5, draw.choice(STEPS_S)
        numbers, inputs_s = (draw.randrange(4), draw.randrange(4)), draw.choice(PERIODS_S)
        self.done.append(f"{action} flag={flag} seconds={seconds} numbers={numbers} inputs_s={inputs_s}")
        match action:
            case "submit":
                self.submit([(True, numbers[0]), (flag, numbers[1])], inputs_s, ended=flag)
            case "wait":
                self.wait(seconds)
            case "delete_batch":
                self.delete_batch(numbers[0], inputs=flag)
            case "set_retention":
                self.set_retention(60 * HOUR_S + 300 if flag else None)
            case "upload":
                self.new_upload(UploadKind.PORTRAIT if flag else UploadKind.SPEECH)
            case _:
                getattr(self, action)(numbers[0])

    # Calls of the tenant.

    def new_upload(self, kind: UploadKind) -> UUID:
        upload_id = self.factory.ready(kind).id
        self.live[upload_id] = ModelUpload(self.now, self.now)
        return upload_id

    def submit(self, named: list[tuple[bool, int]], inputs_s: int | None, *, ended: bool) -> None:
        """Accept a batch; a row that names an upload in the wrong role, or one that is gone, is a failed job."""
        new = [
            self.factory.new(**{"portrait" if as_portrait else "speech": self.any_upload(number)})
            for as_portrait, number in named
        ]
        accepted, _ = self.store.batches.insert(TENANT, new, None, "hash", Retention(inputs_s=inputs_s))
        batch = ModelBatch(inputs_s, accepted.id)
        for job in rows(self.store, JOBS, id=accepted.id):
            names = {job.portrait_upload_id, job.speech_upload_id} & self.live.keys()
            self.jobs[job.id] = ModelJob(batch, frozenset(names), open=job.open)
        self.end_batch(batch)
        if ended:
            for job_id in self.jobs_of(batch):
                self.end_job(job_id)

    def submit_single(self, portrait: int) -> None:
        try:
            job = self.store.jobs.insert(TENANT, self.factory.new(portrait=self.any_upload(portrait)))
        except DublineError:
            return
        named = {job.portrait_upload_id, job.speech_upload_id} & self.live.keys()
        self.jobs[job.id] = ModelJob(ModelBatch(None), frozenset(named))

    def end(self, number: int) -> None:
        """End the first open job."""
        for job_id in [job_id for job_id, job in self.jobs.items() if job.open][number : number + 1]:
            self.end_job(job_id)

    def end_job(self, job_id: UUID) -> None:
        self.store.jobs.cancel(TENANT, job_id)
        self.jobs[job_id].open = False
        self.end_batch(self.jobs[job_id].batch)

    def delete_job(self, number: int) -> None:
        if batch := self.any_batch(number):
            job_id = self.jobs_of(batch)[0]
            self.store.deletions.job(TENANT, job_id, "key:0")
            self.forget([job_id])

    def delete_batch(self, number: int, *, inputs: bool) -> None:
        batch = self.any_batch(number)
        if batch is None or batch.id is None:
            return
        self.store.deletions.batch(TENANT, batch.id, "key:0", inputs=inputs)
        named = {upload_id for job_id in self.jobs_of(batch) for upload_id in self.jobs[job_id].names}
        self.forget(self.jobs_of(batch))
        for upload_id in named & self.live.keys():
            if inputs and not self.naming(upload_id):
                del self.live[upload_id]

    def delete_upload(self, number: int) -> None:
        upload_id = self.any_upload(number)
        if self.in_use(upload_id):
            with pytest.raises(UploadInUseError):
                self.store.deletions.upload(TENANT, upload_id, "key:0")
        else:
            self.store.deletions.upload(TENANT, upload_id, "key:0")
            del self.live[upload_id]

    def set_retention(self, inputs_s: int | None) -> None:
        self.store.tenants.set_retention(TENANT, Retention(inputs_s=inputs_s))
        self.tenant_s = inputs_s

    # The passing of time, and the maintenance process.

    def wait(self, seconds: int) -> None:
        """Let time pass; then the store deletes what the rule says."""
        pass_time(self.store, seconds)
        self.now += seconds
        self.store.deletions.expire(2)
        for upload_id in list(self.live):
            if self.ends_at(upload_id) < self.now and not self.in_use(upload_id):
                del self.live[upload_id]

    def check(self) -> None:
        """Compare the uploads with the model: which there are, and their dates."""
        done = "\n".join(self.done)
        assert set(column(self.store, "SELECT id FROM uploads")) == set(self.live), done
        for row in rows(self.store, DATES.format(ends=upload_life._SELECT_ENDS.text), ids=list(self.live)):
            upload, ends_at = self.live[row.id], self.ends_at(row.id)
            assert self.is_date(row.ends_s, ends_at), done
            assert self.is_date(row.promise_s, min(upload.promised, default=inf)), done
            assert self.is_date(row.unused_s, upload.unused_since), done
            # The uploads that batches ask for are reviewed with these.
            reviewed_at = inf if row.review_s is None else self.now + row.review_s
            assert self.asked(row.id) or ends_at == inf or reviewed_at < max(self.now, ends_at) + TOLERANCE_S, done

    def is_date(self, seconds: float | None, date: float) -> bool:
        """Return whether so many seconds from now, None: infinity, is a date of the model."""
        return date == inf if seconds is None else abs(self.now + seconds - date) < TOLERANCE_S


@pytest.mark.parametrize("seed", SEEDS)
def test_inputs_live_as_long_as_the_rule_says(store: Store, seed: int) -> None:
    walk = RandomWalk(store, seed)
    for _ in range(STEPS):
        walk.step()
        walk.check()
    assert store.tenants.holdings(TENANT) == counted_holdings(store, TENANT)
