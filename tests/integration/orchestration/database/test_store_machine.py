"""The store in any order of calls, compared with a model in plain Python after each call.

Each rule has an effect in every state: a write of a worker submits and claims a job if none runs, and each call with a
former lease tries all writes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.integration.conftest import empty
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.database.model_job import FINGERPRINTS, SLOTS, ModelAttempt, ModelJob, checkpoint
from tests.integration.orchestration.database.walks import NUMBERS, accepts, pick, table, walk
from tests.integration.orchestration.rows import change, rows

from dubline.orchestration.domain.errors import NotFoundError
from dubline.orchestration.domain.jobs import CLAIMABLE, FINAL, Cause, JobState, Outcome, Stage
from dubline.orchestration.domain.quarantine import is_sick
from dubline.orchestration.domain.retry import BUDGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
    from dubline.orchestration.domain.leases import Lease

TENANT = "acme"
WORKERS = ["first", "second"]
GPU_S = st.sampled_from([1.0, 0.0, 2.0])
RETRIED = [Cause.TRANSIENT, Cause.DEFECT, Cause.WORKER_LOST]


#: The writes of a worker.
WRITES: Final[Mapping[str, Callable[[Store, Lease], object]]] = {
    "renew": lambda store, lease: store.leases.renew(lease, 3600),
    "progress": lambda store, lease: store.leases.progress(lease, Stage.RENDERING, 50, 9.0),
    "load": lambda store, lease: store.leases.load_checkpoints(lease, FINGERPRINTS[0]),
    "save": lambda store, lease: store.leases.save_checkpoint(lease, checkpoint("refused")),
    "retry": lambda store, lease: store.leases.retry(lease, Cause.DEFECT, "x", "y", 0, 9.0),
    "release": lambda store, lease: store.leases.release(lease, 9.0),
    "fail": lambda store, lease: store.leases.fail(lease, Cause.BAD_INPUT, "no_face", "None.", 9.0),
    "finish": lambda store, lease: store.leases.finish(lease, 1, 1.0, 9.0),
}
#: Writes whose refusal is not counted.
UNCOUNTED: Final[Mapping[str, Callable[[Store, Lease], object]]] = {
    "offer": lambda store, lease: store.shares.offer(lease, 8),
    "reserve": lambda store, lease: store.shares.reserve(lease, helps=False),
}


#: All that the model knows, in one statement.
READ: Final = f"""
SELECT {table("id, state, gpu_s, coalesce(lease_expires_at < now(), false)", "jobs")} AS jobs,
    {table("job_id, number, outcome, cause, refused_writes, gpu_s, kept", "attempts")} AS attempts,
    {table("job_id, object_key", "checkpoints")} AS checkpoints,
    {table("name, failure_count", "workers")} AS workers,
    {table("kind, subject_id", "events")} AS events,
    {table("id, open_count", "batches")} AS batches,
    {table("object_key", "doomed_objects")} AS pending,
    (SELECT json_build_array(sum(jobs), sum(speech_ms), sum(stored_bytes)) FROM holdings) AS holdings
"""  # noqa: S608 - our own text


class StoreMachine(RuleBasedStateMachine):
    """Calls of tenants, workers and the maintenance process, and the passing of time, in any order."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        empty(self.store)
        self.factory = JobFactory(self.store, TENANT)
        self.model: dict[UUID, ModelJob] = {}
        self.deleted: set[UUID] = set()
        self.batches: list[UUID] = []
        self.leases: list[Lease] = []
        self.saved: set[str] = set()
        self.removed: set[str] = set()
        self.alive: set[str] = set()
        self.failures_in_a_row: Counter[str] = Counter()

    @initialize(failures=st.tuples(st.integers(0, 2), st.integers(0, 2)))
    def begin(self, failures: tuple[int, int]) -> None:
        """Begin with workers that have failed, and a job that was lost, ran again and succeeded: each walk has that."""
        for worker, count in zip(WORKERS, failures, strict=True):
            for _ in range(count):
                self.store.workers.failed(worker)
                self.alive.add(worker)
                self.failures_in_a_row[worker] += 1
        self.submit_batch(2)
        self.claim(WORKERS[0])
        self.progress(0, 1.0)
        self.save_checkpoint(0, SLOTS[1], 2)
        self.rescue(0, loses=True)
        self.write_with_former_lease(0, WORKERS[1])
        self.finish(0, 2.0)

    # Calls of tenants.

    @rule(deadline_s=st.sampled_from([None, 3600.0]))
    def submit(self, deadline_s: float | None) -> None:
        job = self.store.jobs.insert(TENANT, self.factory.new(deadline_s=deadline_s))
        self.model[job.id] = ModelJob()

    @rule(count=st.integers(1, 3))
    def submit_batch(self, count: int) -> None:
        batch, _ = self.store.batches.insert(TENANT, [self.factory.new() for _ in range(count)], None, "hash")
        self.batches.append(batch.id)
        for job in self.store.batches.jobs(TENANT, batch.id, None, count).jobs:
            self.model[job.id] = ModelJob(batch.id)

    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        job_id, model = self.any_job(number)
        if model.state not in FINAL:
            model.end(JobState.CANCELLED, Outcome.CANCELLED, Cause.CANCELLED)
        assert self.store.jobs.cancel(TENANT, job_id).state is model.state

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        job_id, _ = self.any_job(number)
        self.store.deletions.job(TENANT, job_id, "key:0")
        del self.model[job_id]
        self.deleted.add(job_id)
        for call in (self.store.jobs.cancel, lambda *job: self.store.deletions.job(*job, "key:0")):
            with pytest.raises(NotFoundError):
                call(TENANT, job_id)

    # Calls of workers.

    @rule(worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> None:
        due = [
            job_id
            for job_id, model in self.model.items()
            if model.state in CLAIMABLE and model.due and not model.late and self.may_claim(model, worker)
        ]
        lease = self.store.leases.claim(worker, 3600)
        self.alive.add(worker)
        # There is one tenant, so jobs are claimed in the order of submission.
        assert (lease and lease.job_id) == (due[0] if due else None)
        if lease is None:
            return
        model = self.model[lease.job_id]
        alternative = not model.attempts or self.has_alternative(model, worker)
        assert (lease.charged, lease.alone) == (model.charged(worker, alternative=alternative), not alternative)
        model.state = JobState.RUNNING
        model.attempts.append(ModelAttempt(lease, worker))
        self.leases.append(lease)
        assert lease.attempt == len(model.attempts)

    @rule(number=NUMBERS)
    def renew(self, number: int) -> None:
        model = self.running(number)
        self.store.leases.renew(model.attempt.lease, 3600)
        model.expired = False

    @rule(number=NUMBERS, gpu_s=GPU_S)
    def progress(self, number: int, gpu_s: float) -> None:
        """Report progress; the second report changes nothing."""
        model = self.running(number, gpu_s)
        for _ in range(2):
            self.store.leases.progress(model.attempt.lease, Stage.RENDERING, 50, gpu_s)

    @rule(number=NUMBERS, fingerprint=st.sampled_from(FINGERPRINTS))
    def load_checkpoints(self, number: int, fingerprint: RenderFingerprint) -> None:
        model = self.running(number)
        loaded = self.store.leases.load_checkpoints(model.attempt.lease, fingerprint)
        if model.fingerprint and (
            model.fingerprint.weights_sha256 != fingerprint.weights_sha256
            or model.fingerprint.renderer_sha256 != fingerprint.renderer_sha256
        ):
            model.checkpoints = {}
        elif model.fingerprint != fingerprint:
            model.checkpoints = {at: one for at, one in model.checkpoints.items() if at == SLOTS[0]}
        model.fingerprint = fingerprint
        assert loaded == tuple(model.checkpoints[at] for at in SLOTS if at in model.checkpoints)

    @rule(number=NUMBERS, slot=st.sampled_from(SLOTS), times=st.integers(1, 2))
    def save_checkpoint(self, number: int, slot: tuple[CheckpointKind, int], times: int) -> None:
        """Save a checkpoint; the second one replaces the first."""
        model = self.running(number)
        # A worker loads the checkpoints before it saves one.
        if model.fingerprint is None:
            self.load_checkpoints(number, FINGERPRINTS[0])
        for _ in range(times):
            saved = self.new_checkpoint(model.attempt.lease, *slot)
            self.store.leases.save_checkpoint(model.attempt.lease, saved)
            model.checkpoints[slot] = saved
        model.attempt.saved = True

    @rule(number=NUMBERS, gpu_s=GPU_S)
    def finish(self, number: int, gpu_s: float) -> None:
        model = self.running(number, gpu_s)
        self.store.leases.finish(model.attempt.lease, 1, 1.0, gpu_s)
        del self.failures_in_a_row[model.attempt.worker]
        model.end(JobState.SUCCEEDED, Outcome.SUCCEEDED)

    @rule(number=NUMBERS, gpu_s=GPU_S)
    def fail(self, number: int, gpu_s: float) -> None:
        model = self.running(number, gpu_s)
        self.store.leases.fail(model.attempt.lease, Cause.BAD_INPUT, "no_face", "None.", gpu_s)
        model.end(JobState.FAILED, Outcome.FAILED, Cause.BAD_INPUT)

    @rule(number=NUMBERS, gpu_s=GPU_S, cause=st.sampled_from(RETRIED), delay_s=st.sampled_from([0, 3600]))
    def retry(self, number: int, gpu_s: float, cause: Cause, delay_s: float) -> None:
        model = self.running(number, gpu_s)
        self.store.leases.retry(model.attempt.lease, cause, "x", "y", delay_s, gpu_s)
        model.end(JobState.RETRYING, Outcome.RETRIED, cause)
        model.due = delay_s == 0

    @rule(number=NUMBERS, gpu_s=GPU_S)
    def release(self, number: int, gpu_s: float) -> None:
        model = self.running(number, gpu_s)
        self.store.leases.release(model.attempt.lease, gpu_s)
        model.end(JobState.QUEUED, Outcome.RELEASED, Cause.SHUTDOWN)

    @rule(number=NUMBERS, worker=st.sampled_from(WORKERS))
    def write_with_former_lease(self, number: int, worker: str) -> None:
        """Try all writes with a former lease, if possible of a job that runs again."""
        if not self.former():
            self.release(number, 0.0)
        self.claim(worker)
        runs_again = [one for one in self.former() if one.job_id in self.model and self.is_running(one.job_id)]
        lease = pick(runs_again or self.former(), number)
        writes = {**WRITES, **UNCOUNTED}
        assert [name for name, write in writes.items() if accepts(write, self.store, lease)] == []
        if model := self.model.get(lease.job_id):
            model.attempts[lease.attempt - 1].refused += len(WRITES)

    # The passing of time, and calls of the maintenance process.

    @rule(number=NUMBERS)
    def expire_lease(self, number: int) -> None:
        model = self.running(number)
        passed = "UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE lease_token = :token"
        change(self.store, passed, token=model.attempt.lease.token)
        model.expired = True

    @rule(number=NUMBERS, loses=st.booleans())
    def rescue(self, number: int, *, loses: bool) -> None:
        """Rescue the jobs whose leases have expired, after one more has; others may run."""
        if loses:
            self.expire_lease(number)
        else:
            self.running(number)
        lost = [model for model in self.model.values() if model.expired]
        assert self.store.leases.rescue_expired() == len(lost)
        self.failures_in_a_row.update(model.attempt.worker for model in lost)
        for model in lost:
            worker = model.attempt.worker
            charged = model.charged(worker, alternative=self.has_alternative(model, worker))
            used_up = charged[Cause.WORKER_LOST] + 1 >= BUDGETS[Cause.WORKER_LOST]
            if used_up and not is_sick(self.failures_in_a_row[worker]):
                model.end(JobState.FAILED, Outcome.FAILED, Cause.WORKER_LOST)
            else:
                model.end(JobState.RETRYING, Outcome.RETRIED, Cause.WORKER_LOST)

    @rule()
    def end_delays(self) -> None:
        change(self.store, "UPDATE jobs SET available_at = now()")
        for model in self.model.values():
            model.due = True

    @rule(number=NUMBERS)
    def pass_deadline(self, number: int) -> None:
        job_id, model = self.any_job(number)
        change(self.store, "UPDATE jobs SET deadline_at = now() - interval '1 s' WHERE id = :id", id=job_id)
        model.late = True

    @rule()
    def expire_deadlines(self) -> None:
        late = [model for model in self.model.values() if model.late and model.state not in FINAL]
        assert self.store.leases.expire_deadlines() == len(late)
        for model in late:
            model.end(JobState.FAILED, Outcome.FAILED, Cause.DEADLINE)

    @rule()
    def clean(self) -> None:
        keys = self.store.deletions.pending(2)
        self.store.deletions.removed(keys)
        self.removed.update(keys)

    # Invariants after each step.

    @invariant()
    def the_rows_equal_the_model(self) -> None:
        (read,) = rows(self.store, READ)
        self.check_jobs(read)
        self.check_objects(read)
        self.check_ends(read)
        assert Counter(dict(read.workers)) == self.failures_in_a_row

    def check_jobs(self, read: Any) -> None:
        """Check the rows of jobs and attempts."""
        assert {tuple(row) for row in read.jobs} == {
            (str(job_id), model.state, self.gpu_s(job_id), model.expired) for job_id, model in self.model.items()
        }
        assert {tuple(row) for row in read.attempts} == {
            (str(job_id), one.lease.attempt, one.outcome, one.cause, one.refused, one.gpu_s, one.saved)
            for job_id, model in self.model.items()
            for one in model.attempts
        }
        for model in self.model.values():
            outcomes = [attempt.outcome for attempt in model.attempts]
            assert outcomes.count(Outcome.SUCCEEDED) == (model.state is JobState.SUCCEEDED)
            assert outcomes.count(None) == (model.state is JobState.RUNNING)

    def check_objects(self, read: Any) -> None:
        """Check that each object is needed, pending deletion or removed."""
        pending, needed = {key for (key,) in read.pending}, {key for _, key in read.checkpoints}
        assert {tuple(row) for row in read.checkpoints} == {
            (str(job_id), one.object_key) for job_id, model in self.model.items() for one in model.checkpoints.values()
        }
        assert self.saved <= needed | pending | self.removed
        assert not needed & (pending | self.removed)

    def check_ends(self, read: Any) -> None:
        """Check the events of final jobs and batches, what is open of each batch, and what the tenant holds."""
        states = [model.state for model in self.model.values()]
        open_of = Counter(model.batch_id for model in self.model.values() if model.state not in FINAL)
        final = {job_id for job_id, model in self.model.items() if model.state in FINAL} | self.deleted
        expected = Counter(("job.finished", str(job_id)) for job_id in final)
        expected.update(("batch.finished", str(one)) for one in self.batches if open_of[one] == 0)
        assert Counter((kind, subject) for kind, subject in read.events) == expected
        assert {tuple(row) for row in read.batches} == {(str(one), open_of[one]) for one in self.batches}
        # Two uploads of 10 bytes, speech of 3 s, and videos of 1 byte.
        jobs = open_of.total()
        assert read.holdings == [jobs, 3000 * jobs, 20 + states.count(JobState.SUCCEEDED)]

    def gpu_s(self, job_id: UUID) -> float:
        return sum(attempt.gpu_s for attempt in self.model[job_id].attempts)

    def has_alternative(self, model: ModelJob, worker: str) -> bool:
        return bool(self.alive - {worker} - model.failed_by())

    def may_claim(self, model: ModelJob, worker: str) -> bool:
        return worker not in model.failed_by() or not self.has_alternative(model, worker)

    def is_running(self, job_id: UUID) -> bool:
        return self.model[job_id].state is JobState.RUNNING

    def any_job(self, number: int) -> tuple[UUID, ModelJob]:
        if not self.model:
            self.submit(None)
        return pick(self.model.items(), number)

    def running(self, number: int, gpu_s: float = 0.0) -> ModelJob:
        """Return a job that runs, after a claim if there is none; its attempt has used so much device time."""
        if not any(map(self.is_running, self.model)):
            self.submit(None)
            self.claim(WORKERS[0])
        model = pick((self.model[job_id] for job_id in self.model if self.is_running(job_id)), number)
        model.attempt.gpu_s = max(model.attempt.gpu_s, gpu_s)
        return model

    def former(self) -> list[Lease]:
        """Return the leases that are not valid any more."""
        valid = {model.attempt.lease.token for model in self.model.values() if model.state is JobState.RUNNING}
        return [lease for lease in self.leases if lease.token not in valid]

    def new_checkpoint(self, lease: Lease, kind: CheckpointKind, number: int) -> Checkpoint:
        """Return a checkpoint that is saved next."""
        key = f"{lease.attempt_prefix}{kind}-{number}-{len(self.saved)}"
        self.saved.add(key)
        return checkpoint(key, kind, number)


@pytest.mark.parametrize("walks", [10, pytest.param(60, marks=pytest.mark.long)])
def test_the_store_equals_the_model_in_any_order_of_calls(store: Store, walks: int) -> None:
    StoreMachine.store = store
    walk(StoreMachine, walks)
