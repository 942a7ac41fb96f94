"""Shares of long jobs in the state machine of the store: they change no state of a job, whatever the order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, invariant, multiple, rule, run_state_machine_as_test
from tests.integration.orchestration.database.test_store_machine import (
    FINGERPRINTS,
    SLOTS,
    WORKERS,
    ModelJob,
    StoreMachine,
)
from tests.integration.orchestration.rows import change, column

from dubline.options.render import PRESETS
from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import LeaseLostError
from dubline.orchestration.domain.jobs import FINAL, Cause, JobState
from dubline.orchestration.domain.sharing import LEAST_SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease


@dataclass
class ModelShare:
    share: Lease
    worker: str
    ended: bool = False
    expired: bool = False


@dataclass
class SharedJob:
    """What the model of a job lacks."""

    offered: bool = False
    fingerprint: object = None
    shares: list[ModelShare] = field(default_factory=list)


class ShareMachine(StoreMachine):
    """The calls of helpers between all other calls."""

    store: Store
    shares = Bundle("shares")

    def __init__(self) -> None:
        super().__init__()
        self.shared: dict[UUID, SharedJob] = {}

    def of(self, job_id: UUID) -> tuple[ModelJob | None, SharedJob]:
        """Return the models of a job. Another fingerprint ends its shares."""
        model, shared = self.model.get(job_id), self.shared.setdefault(job_id, SharedJob())
        if model is not None and model.fingerprint != shared.fingerprint:
            shared.fingerprint, shared.offered = model.fingerprint, False
            for one in shared.shares:
                one.ended = True
        return model, shared

    @rule(lease=StoreMachine.leases, fingerprint=st.sampled_from(FINGERPRINTS))
    def offer(self, lease: Lease, fingerprint: RenderFingerprint) -> None:
        self.load_checkpoints(lease, fingerprint)
        model, shared = self.of(lease.job_id)
        if model is None:
            return
        holds = model.state is JobState.RUNNING and model.attempts[-1].lease is lease
        assert self.accepted(lambda: self.store.shares.offer(lease, LEAST_SEGMENTS)) == holds
        shared.offered |= holds

    @rule(share=shares, fingerprint=st.sampled_from(FINGERPRINTS))
    def render_otherwise(self, share: Lease, fingerprint: RenderFingerprint) -> None:
        """Load the checkpoints of a shared job again, as a worker that replaces its owner does."""
        model, _ = self.of(share.job_id)
        if model is not None and model.state is JobState.RUNNING:
            self.load_checkpoints(model.attempts[-1].lease, fingerprint)

    @rule(target=shares, worker=st.sampled_from([*WORKERS, "third"]))
    def help(self, worker: str) -> Any:
        # Otherwise few jobs are shared.
        if not self.model:
            self.submit(None)
        self.claim(WORKERS[0])
        for job_id, known in list(self.model.items()):
            if known.state is JobState.RUNNING and not self.of(job_id)[1].offered:
                self.offer(known.attempts[-1].lease, FINGERPRINTS[0])
        share = self.store.shares.claim(worker, 3600, "f" * 64, presets=PRESETS)
        for job_id in self.model:
            for one in self.of(job_id)[1].shares:
                # A worker has one share: an open one is that of a claim whose answer was lost.
                one.ended |= one.worker == worker
        if share is None:
            return multiple()
        model, shared = self.of(share.job_id)
        assert model is not None
        assert shared.offered
        assert (model.state, model.expired) == (JobState.RUNNING, False)
        assert model.attempts[-1].worker != worker
        assert model.fingerprint in FINGERPRINTS[:3]
        assert all(one.ended or one.expired for one in shared.shares)
        shared.shares.append(ModelShare(share, worker))
        return share

    @rule(share=shares, number=st.sampled_from([0, 1]))
    def save_segment(self, share: Lease, number: int) -> None:
        self.number += 1
        key = f"{share.attempt_prefix}segment-{number}-{self.number}"
        saved = Checkpoint(kind=CheckpointKind.SEGMENT, number=number, object_key=key, size_bytes=1, sha256="b" * 64)
        holds = self.holds(share)
        assert self.accepted(lambda: self.store.shares.save_checkpoint(share, saved)) == holds
        if holds:
            self.saved.add(key)
            self.model[share.job_id].checkpoints[SLOTS[1 + number]] = saved

    @rule(share=shares)
    def reserve(self, share: Lease) -> None:
        holds = self.holds(share)
        model, shared = self.of(share.job_id)
        may = holds and model is not None and model.state is JobState.RUNNING and shared.offered
        assert self.accepted(lambda: self.store.shares.reserve(share, helps=True)) == may

    @rule(share=shares)
    def renew_share(self, share: Lease) -> None:
        holds = self.holds(share)
        assert self.accepted(lambda: self.store.shares.renew(share, 3600)) == holds
        for one in self.of(share.job_id)[1].shares:
            one.expired &= not (holds and one.share is share)

    @rule(share=shares)
    def end_share(self, share: Lease) -> None:
        model, shared = self.of(share.job_id)
        for one in shared.shares:
            if one.share is share and model is not None:
                assert self.accepted(lambda: self.store.shares.end(share)) == (not one.ended)
                one.ended = True

    @rule(share=shares)
    def expire_share(self, share: Lease) -> None:
        change(
            self.store,
            "UPDATE shares SET lease_expires_at = now() - interval '1 s' WHERE token = :token AND ended_at IS NULL",
            token=share.token,
        )
        for one in self.of(share.job_id)[1].shares:
            one.expired |= one.share is share and not one.ended

    @rule()
    def end_expired_shares(self) -> None:
        lost = [one for job_id in self.model for one in self.of(job_id)[1].shares if one.expired and not one.ended]
        assert self.store.shares.end_expired() == len(lost)
        self.failures_in_a_row += Counter(one.worker for one in lost)
        for one in lost:
            one.ended = True

    @invariant()
    def open_shares_equal_the_model(self) -> None:
        expected = {one.share.token for job_id in self.model for one in self.of(job_id)[1].shares if not one.ended}
        assert set(column(self.store, "SELECT token FROM shares WHERE ended_at IS NULL")) == expected

    @invariant()
    def nothing_is_reserved_of_a_final_job(self) -> None:
        left = "SELECT job_id FROM reserved_segments JOIN jobs ON jobs.id = job_id WHERE finalized_at IS NOT NULL"
        assert column(self.store, left) == []
        causes = "SELECT cause FROM shares WHERE cause IS NOT NULL AND cause <> :lost"
        assert column(self.store, causes, lost=Cause.WORKER_LOST) == []

    def holds(self, share: Lease) -> bool:
        model, shared = self.of(share.job_id)
        opened = any(one.share is share and not one.ended for one in shared.shares)
        return model is not None and model.state not in FINAL and opened

    def accepted(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except LeaseLostError:
            return False
        return True


def test_shares_change_no_state_of_a_job_in_any_order_of_calls(store: Store) -> None:
    ShareMachine.store = store
    run_state_machine_as_test(
        ShareMachine,
        settings=settings(
            max_examples=6,
            stateful_step_count=40,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
