"""The store in any order of calls, compared with a model in plain Python."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.integration.conftest import empty
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import change, column, counted_holdings, pending_deletion, rows

from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import LeaseLostError, NotFoundError
from dubline.orchestration.domain.jobs import CLAIMABLE, FINAL, Cause, JobState, Outcome, Stage
from dubline.orchestration.domain.quarantine import is_sick
from dubline.orchestration.domain.retry import BUDGETS, RESET_ON_PROGRESS

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

TENANT = "acme"
WORKERS = ["first", "second"]
FINGERPRINTS = [
    RenderFingerprint(
        weights_sha256=weights * 64,
        render_batch=batch,
        segment_frames=100,
        encoder_threads=2,
        renderer_sha256=renderer * 64,
    )
    for weights, batch, renderer in (("a", 4, "f"), ("a", 2, "f"), ("c", 4, "f"), ("a", 4, "e"))
]
SLOTS = [(CheckpointKind.MOTION, 0), (CheckpointKind.SEGMENT, 0), (CheckpointKind.SEGMENT, 1)]


@dataclass
class ModelAttempt:
    lease: Lease
    worker: str
    outcome: Outcome | None = None
    cause: Cause | None = None
    refused: int = 0
    gpu_s: float = 0.0
    saved: bool = False


@dataclass
class ModelJob:
    state: JobState = JobState.QUEUED
    due: bool = True
    late: bool = False
    expired: bool = False
    fingerprint: RenderFingerprint | None = None
    attempts: list[ModelAttempt] = field(default_factory=list)
    checkpoints: dict[tuple[CheckpointKind, int], Checkpoint] = field(default_factory=dict)

    def failures(self) -> list[tuple[Cause, str]]:
        """Cause and worker of each charged attempt."""
        made_progress = max((number for number, attempt in enumerate(self.attempts, 1) if attempt.saved), default=0)
        return [
            (attempt.cause, attempt.worker)
            for number, attempt in enumerate(self.attempts, 1)
            if attempt.outcome is Outcome.RETRIED
            and attempt.cause
            and (attempt.cause not in RESET_ON_PROGRESS or number > made_progress)
        ]

    def failed_by(self) -> set[str]:
        return {worker for cause, worker in self.failures() if cause is not Cause.TRANSIENT}

    def charged(self, worker: str, *, alternative: bool) -> Counter[Cause]:
        """Count attempts; with an alternative, the workers other than this one."""
        failures = self.failures()
        if alternative:
            outages = [one for one in failures if one[0] is Cause.TRANSIENT]
            failures = outages + list({one for one in failures if one[0] is not Cause.TRANSIENT and one[1] != worker})
        return Counter(cause for cause, _ in failures)

    def end(self, state: JobState, outcome: Outcome | None = None, cause: Cause | None = None) -> None:
        """Change the state; the open attempt ends."""
        if self.state is JobState.RUNNING:
            self.attempts[-1].outcome, self.attempts[-1].cause = outcome, cause
        self.state, self.due, self.expired = state, True, False
        if state in FINAL:
            self.checkpoints = {}


class StoreMachine(RuleBasedStateMachine):
    """Calls of tenants, workers and the maintenance process, and the passing of time, in any order."""

    store: Store
    jobs = Bundle("jobs")
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        empty(self.store)
        self.factory = JobFactory(self.store, TENANT)
        self.model: dict[UUID, ModelJob] = {}
        self.saved: set[str] = set()
        self.removed: set[str] = set()
        self.deleted: set[UUID] = set()
        self.number = 0
        self.seen: set[str] = set()
        self.failures_in_a_row: Counter[str] = Counter()

    # Calls of tenants.

    @rule(target=jobs, deadline_s=st.sampled_from([None, 3600.0]))
    def submit(self, deadline_s: float | None) -> UUID:
        job = self.store.jobs.insert(TENANT, self.factory.new(deadline_s=deadline_s))
        self.model[job.id] = ModelJob()
        return job.id

    @rule(target=jobs, count=st.integers(1, 3))
    def submit_batch(self, count: int) -> MultipleResults[UUID]:
        batch, _ = self.store.batches.insert(TENANT, [self.factory.new() for _ in range(count)], None, "hash")
        ids = [job.id for job in self.store.batches.jobs(TENANT, batch.id, None, count).jobs]
        self.model |= {job_id: ModelJob() for job_id in ids}
        return multiple(*ids)

    @rule(job_id=jobs)
    def cancel(self, job_id: UUID) -> None:
        model = self.model.get(job_id)
        try:
            state = self.store.jobs.cancel(TENANT, job_id).state
        except NotFoundError:
            assert model is None
            return
        assert model is not None
        if model.state not in FINAL:
            model.end(JobState.CANCELLED, Outcome.CANCELLED, Cause.CANCELLED)
        assert state is model.state

    @rule(job_id=jobs)
    def delete(self, job_id: UUID) -> None:
        model = self.model.pop(job_id, None)
        self.deleted |= {job_id} if model is not None else set()
        try:
            self.store.deletions.job(TENANT, job_id, "key:0")
        except NotFoundError:
            assert model is None
        else:
            assert model is not None

    # Calls of workers.

    @rule(target=leases, worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> Any:
        due = [
            job_id
            for job_id, model in self.model.items()
            if model.state in CLAIMABLE and model.due and not model.late and self.may_claim(model, worker)
        ]
        lease = self.store.leases.claim(worker, 3600)
        self.seen.add(worker)
        if lease is None:
            assert not due
            return multiple()
        # There is one tenant, so jobs are claimed in the order of submission.
        assert lease.job_id == due[0]
        model = self.model[lease.job_id]
        alternative = not model.attempts or self.has_alternative(model, worker)
        assert (lease.charged, lease.alone) == (model.charged(worker, alternative=alternative), not alternative)
        model.state = JobState.RUNNING
        model.attempts.append(ModelAttempt(lease, worker))
        assert lease.attempt == len(model.attempts)
        return lease

    @rule(lease=leases)
    def renew(self, lease: Lease) -> None:
        if model := self.write(lease, lambda: self.store.leases.renew(lease, 3600)):
            model.expired = False

    @rule(lease=leases, gpu_s=st.sampled_from([0.0, 1.0, 2.0]))
    def progress(self, lease: Lease, gpu_s: float) -> None:
        if model := self.write(lease, lambda: self.store.leases.progress(lease, Stage.RENDERING, 50, gpu_s)):
            model.attempts[-1].gpu_s = max(model.attempts[-1].gpu_s, gpu_s)

    @rule(lease=leases, fingerprint=st.sampled_from(FINGERPRINTS))
    def load_checkpoints(self, lease: Lease, fingerprint: RenderFingerprint) -> None:
        loaded: list[Checkpoint] = []
        if not (
            model := self.write(lease, lambda: loaded.extend(self.store.leases.load_checkpoints(lease, fingerprint)))
        ):
            return
        if model.fingerprint and (
            model.fingerprint.weights_sha256 != fingerprint.weights_sha256
            or model.fingerprint.renderer_sha256 != fingerprint.renderer_sha256
        ):
            model.checkpoints = {}
        elif model.fingerprint != fingerprint:
            model.checkpoints = {at: one for at, one in model.checkpoints.items() if at == SLOTS[0]}
        model.fingerprint = fingerprint
        assert loaded == [model.checkpoints[at] for at in SLOTS if at in model.checkpoints]

    @rule(lease=leases, slot=st.sampled_from(SLOTS))
    def save_checkpoint(self, lease: Lease, slot: tuple[CheckpointKind, int]) -> None:
        # A worker loads the checkpoints before it saves one.
        held = self.model.get(lease.job_id)
        if held is not None and held.fingerprint is None:
            return
        self.number += 1
        kind, number = slot
        key = f"{lease.attempt_prefix}{kind}-{number}-{self.number}"
        checkpoint = Checkpoint(kind=kind, number=number, object_key=key, size_bytes=1, sha256="b" * 64)
        if model := self.write(lease, lambda: self.store.leases.save_checkpoint(lease, checkpoint)):
            self.saved.add(key)
            model.checkpoints[slot] = checkpoint
            model.attempts[-1].saved = True

    @rule(lease=leases)
    def finish(self, lease: Lease) -> None:
        if model := self.write(lease, lambda: self.store.leases.finish(lease, 1, 1.0)):
            del self.failures_in_a_row[model.attempts[-1].worker]
            model.end(JobState.SUCCEEDED, Outcome.SUCCEEDED)

    @rule(lease=leases)
    def fail(self, lease: Lease) -> None:
        if model := self.write(lease, lambda: self.store.leases.fail(lease, Cause.BAD_INPUT, "no_face", "None.")):
            model.end(JobState.FAILED, Outcome.FAILED, Cause.BAD_INPUT)

    @rule(lease=leases, cause=st.sampled_from([Cause.TRANSIENT, Cause.DEFECT]), delay_s=st.sampled_from([0, 3600]))
    def retry(self, lease: Lease, cause: Cause, delay_s: float) -> None:
        if model := self.write(lease, lambda: self.store.leases.retry(lease, cause, "x", "y", delay_s)):
            model.end(JobState.RETRYING, Outcome.RETRIED, cause)
            model.due = delay_s == 0

    @rule(lease=leases)
    def release(self, lease: Lease) -> None:
        if model := self.write(lease, lambda: self.store.leases.release(lease)):
            model.end(JobState.QUEUED, Outcome.RELEASED, Cause.SHUTDOWN)

    # The passing of time, and calls of the maintenance process.

    @rule(job_id=jobs)
    def expire_lease(self, job_id: UUID) -> None:
        change(
            self.store,
            "UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE id = :id AND state = 'running'",
            id=job_id,
        )
        if (model := self.model.get(job_id)) and model.state is JobState.RUNNING:
            model.expired = True

    @rule()
    def end_delays(self) -> None:
        change(self.store, "UPDATE jobs SET available_at = now()")
        for model in self.model.values():
            model.due = True

    @rule(job_id=jobs)
    def pass_deadline(self, job_id: UUID) -> None:
        passed = "UPDATE jobs SET deadline_at = now() - interval '1 s' WHERE id = :id AND deadline_at IS NOT NULL"
        if rows(self.store, f"{passed} RETURNING id", id=job_id):
            self.model[job_id].late = True

    @rule()
    def rescue(self) -> None:
        lost = [model for model in self.model.values() if model.expired]
        assert self.store.leases.rescue_expired() == len(lost)
        self.failures_in_a_row.update(model.attempts[-1].worker for model in lost)
        for model in lost:
            worker = model.attempts[-1].worker
            charged = model.charged(worker, alternative=self.has_alternative(model, worker))
            used_up = charged[Cause.WORKER_LOST] + 1 >= BUDGETS[Cause.WORKER_LOST]
            if used_up and not is_sick(self.failures_in_a_row[worker]):
                model.end(JobState.FAILED, Outcome.FAILED, Cause.WORKER_LOST)
            else:
                model.end(JobState.RETRYING, Outcome.RETRIED, Cause.WORKER_LOST)

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
    def holdings_equal_the_rows(self) -> None:
        assert self.store.tenants.holdings("acme") == counted_holdings(self.store, "acme")

    @invariant()
    def each_final_job_has_one_event(self) -> None:
        finished = column(self.store, "SELECT subject_id FROM events WHERE kind = 'job.finished'")
        assert len(finished) == len(set(finished))
        final = {job_id for job_id, model in self.model.items() if model.state in FINAL}
        assert {job_id for job_id in finished if job_id in self.model} == final
        assert set(finished) == final | self.deleted

    @invariant()
    def batches_count_their_open_jobs_down(self) -> None:
        counted = rows(
            self.store,
            "SELECT batches.id, open_count,"
            " (SELECT count(*) FROM events WHERE subject_id = batches.id) AS events,"
            " (SELECT count(*) FROM jobs WHERE batch_id = batches.id AND finalized_at IS NULL) AS open"
            " FROM batches",
        )
        assert [row.open_count for row in counted] == [row.open for row in counted]
        assert [row.events for row in counted] == [int(row.open == 0) for row in counted]

    @invariant()
    def the_rows_equal_the_model(self) -> None:
        jobs = rows(self.store, "SELECT id, state, gpu_s FROM jobs")
        attempts = rows(self.store, "SELECT job_id, number, outcome, cause, refused_writes, gpu_s FROM attempts")
        checkpoints = rows(self.store, "SELECT job_id, object_key FROM checkpoints")
        pending = pending_deletion(self.store)
        assert {row.id: (row.state, row.gpu_s) for row in jobs} == {
            job_id: (model.state, sum(attempt.gpu_s for attempt in model.attempts))
            for job_id, model in self.model.items()
        }
        assert {tuple(row) for row in attempts} == {
            (job_id, attempt.lease.attempt, attempt.outcome, attempt.cause, attempt.refused, attempt.gpu_s)
            for job_id, model in self.model.items()
            for attempt in model.attempts
        }
        for model in self.model.values():
            outcomes = [attempt.outcome for attempt in model.attempts]
            assert outcomes.count(Outcome.SUCCEEDED) == (model.state is JobState.SUCCEEDED)
            assert outcomes.count(None) == (model.state is JobState.RUNNING)
        needed = {row.object_key for row in checkpoints}
        assert {(row.job_id, row.object_key) for row in checkpoints} == {
            (job_id, one.object_key) for job_id, model in self.model.items() for one in model.checkpoints.values()
        }
        assert self.saved <= needed | pending | self.removed
        assert not needed & (pending | self.removed)

    def has_alternative(self, model: ModelJob, worker: str) -> bool:
        return bool(self.seen - {worker} - model.failed_by())

    def may_claim(self, model: ModelJob, worker: str) -> bool:
        return worker not in model.failed_by() or not self.has_alternative(model, worker)

    def write(self, lease: Lease, call: Callable[[], object]) -> ModelJob | None:
        """Execute a write of a worker; return the model of the job if the write must be accepted."""
        model = self.model.get(lease.job_id)
        holds = model is not None and model.state is JobState.RUNNING and model.attempts[-1].lease is lease
        try:
            call()
        except LeaseLostError:
            assert not holds
            if model is not None:
                model.attempts[lease.attempt - 1].refused += 1
            return None
        assert holds
        return model


#: Ten walks find one of the seven faults that were planted, which the log lists. `make long` does many more.
@pytest.mark.parametrize("walks", [10, pytest.param(60, marks=pytest.mark.long)])
def test_the_store_equals_the_model_in_any_order_of_calls(store: Store, walks: int) -> None:
    StoreMachine.store = store
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=walks,
            stateful_step_count=40,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
