"""Shares of long jobs in the state machine of the store: they change no state of a job, whatever the order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from tests.integration.orchestration.database.model_job import FINGERPRINTS, SLOTS, checkpoint
from tests.integration.orchestration.database.test_store_machine import GPU_S, WORKERS, StoreMachine
from tests.integration.orchestration.database.walks import NUMBERS, accepts, pick, table, walk
from tests.integration.orchestration.rows import change, rows

from dubline.options.render import PRESETS
from dubline.orchestration.domain.checkpoints import CheckpointKind
from dubline.orchestration.domain.jobs import FINAL, Cause
from dubline.orchestration.domain.quarantine import BLAMED
from dubline.orchestration.domain.sharing import (
    LARGEST_FAILURES,
    LEAST_SEGMENTS,
    SEGMENTS_PER_WORKER,
    Segments,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.checkpoints import Checkpoint, RenderFingerprint
    from dubline.orchestration.domain.leases import Lease

RENDERER = "f" * 64
#: The writes of a helper.
WRITES: Final[Mapping[str, Callable[[Store, Lease], object]]] = {
    "renew": lambda store, lease: store.shares.renew(lease, 3600),
    "progress": lambda store, lease: store.shares.progress(lease, 9.0),
    "reserve": lambda store, lease: store.shares.reserve(lease, helps=True),
    "save": lambda store, lease: store.shares.save_checkpoint(lease, checkpoint("refused")),
    "end": lambda store, lease: store.shares.end(lease),
}
READ: Final = f"""
SELECT {table("token, ended_at IS NOT NULL, cause, kept_at IS NOT NULL, lease_expires_at < now()", "shares")} AS shares,
    {table("job_id, number, token", "reserved_segments")} AS reserved
"""


@dataclass
class ModelShare:
    lease: Lease
    worker: str
    ended: bool = False
    expired: bool = False
    saved: bool = False
    cause: Cause | None = None
    gpu_s: float = 0.0

    @property
    def renders(self) -> bool:
        return not self.ended and not self.expired


@dataclass
class SharedJob:
    """What the model of a job lacks."""

    segments: int | None = None
    fingerprint: RenderFingerprint | None = None
    shares: list[ModelShare] = field(default_factory=list)
    reserved: dict[int, UUID] = field(default_factory=dict)


class ShareMachine(StoreMachine):
    """The calls of helpers between all other calls."""

    def __init__(self) -> None:
        super().__init__()
        self.shared: dict[UUID, SharedJob] = {}
        self.helped: list[ModelShare] = []

    def of(self, job_id: UUID) -> SharedJob:
        """Return what is shared of a job. Another fingerprint ends its shares, and its end frees what is reserved."""
        model, shared = self.model[job_id], self.shared.setdefault(job_id, SharedJob())
        if model.fingerprint != shared.fingerprint:
            shared.fingerprint, shared.segments = model.fingerprint, None
            for one in shared.shares:
                one.ended = True
        if model.state in FINAL:
            shared.reserved = {}
        return shared

    def all_shares(self) -> list[ModelShare]:
        return [one for job_id in self.model for one in self.of(job_id).shares]

    def holds(self, one: ModelShare) -> bool:
        """Return whether the writes of a share are accepted."""
        model = self.model.get(one.lease.job_id)
        return model is not None and model.state not in FINAL and not one.ended

    def sharing(self, number: int) -> ModelShare:
        """Return a share whose writes are accepted; if there is none, a new worker helps."""
        if found := [one for one in self.all_shares() if self.holds(one)]:
            return pick(found, number)
        helper = f"helper-{len(self.helped)}"
        self.help(helper)
        if helper not in {one.worker for one in self.helped}:
            # Too many workers have failed at the last job.
            self.fail(0, 0.0)
        return self.sharing(number)

    def needing(self, worker: str) -> list[UUID]:
        """Return the jobs that a worker may help with, those with the fewest workers first."""
        found = []
        for job_id, model in self.model.items():
            shared = self.of(job_id)
            renderer = model.fingerprint and model.fingerprint.renderer_sha256
            if not self.is_running(job_id) or model.expired or shared.segments is None or renderer != RENDERER:
                continue
            stored = sum(kind is CheckpointKind.SEGMENT for kind, _ in model.checkpoints)
            workers = 2 + sum(one.renders for one in shared.shares)
            failed = {one.worker for one in shared.shares if one.cause in BLAMED}
            failures = sum(one.cause in BLAMED and not one.saved for one in shared.shares)
            if (
                worker not in failed | model.failed_by() | {model.attempt.worker}
                and failures < LARGEST_FAILURES
                and shared.segments - stored >= SEGMENTS_PER_WORKER * workers
            ):
                found.append((workers, len(found), job_id))
        return [job_id for _, _, job_id in sorted(found)]

    @rule(number=NUMBERS, segments=st.sampled_from([LEAST_SEGMENTS, LEAST_SEGMENTS + SEGMENTS_PER_WORKER]))
    def offer(self, number: int, segments: int) -> None:
        model = self.running(number)
        if model.fingerprint is None:
            self.load_checkpoints(number, FINGERPRINTS[0])
        self.store.shares.offer(model.attempt.lease, segments)
        self.of(model.attempt.lease.job_id).segments = segments

    @initialize()
    def begin_sharing(self) -> None:
        """Begin with a share that was lost and one that is held: each walk has that."""
        for loses in (False, True):
            self.end_expired_shares(0, loses=loses)
        self.write_with_former_share(0)

    @rule(worker=st.sampled_from([*WORKERS, "third"]), offers=st.booleans())
    def help_twice(self, worker: str, *, offers: bool) -> None:
        """Claim a share and, as if its answer was lost, a second one."""
        if offers:
            self.offer(0, LEAST_SEGMENTS + SEGMENTS_PER_WORKER)
        self.claim_share(worker)
        self.claim_share(worker)

    @rule(worker=st.sampled_from([*WORKERS, "third"]))
    def help(self, worker: str) -> None:
        """Claim a share, after the last job that runs is offered if no other needs help."""
        if not self.needing(worker):
            self.renew(0)
            self.load_checkpoints(0, FINGERPRINTS[0])
            self.offer(0, LEAST_SEGMENTS + SEGMENTS_PER_WORKER)
        self.claim_share(worker)

    def claim_share(self, worker: str) -> None:
        needing = self.needing(worker)
        share = self.store.shares.claim(worker, 3600, RENDERER, presets=PRESETS)
        assert (share and share.job_id) == (needing[0] if needing else None)
        # A worker has one share.
        for one in self.all_shares():
            one.ended |= one.worker == worker
        if share is not None:
            self.helped.append(ModelShare(share, worker))
            self.of(share.job_id).shares.append(self.helped[-1])

    @rule(number=NUMBERS, slot=st.sampled_from(SLOTS[1:]), times=st.integers(1, 2))
    def save_segment(self, number: int, slot: tuple[CheckpointKind, int], times: int) -> None:
        """Save a segment; the second one replaces the first."""
        one = self.sharing(number)
        for _ in range(times):
            saved = self.new_checkpoint(one.lease, *slot)
            self.store.shares.save_checkpoint(one.lease, saved)
            self.model[one.lease.job_id].checkpoints[slot] = saved
        one.saved = True

    @rule(number=NUMBERS)
    def reserve_for_share(self, number: int) -> None:
        one = self.sharing(number)
        if self.is_running(one.lease.job_id) and self.of(one.lease.job_id).segments is not None:
            self.reserve(one.lease, helps=True)
        else:
            assert not accepts(WRITES["reserve"], self.store, one.lease)

    @rule(number=NUMBERS)
    def reserve_for_attempt(self, number: int) -> None:
        model = self.running(number)
        if self.of(model.attempt.lease.job_id).segments is None:
            self.offer(number, LEAST_SEGMENTS)
        self.reserve(model.attempt.lease, helps=False)

    def reserve(self, lease: Lease, *, helps: bool) -> None:
        """Reserve the first segment that nobody has stored or renders; the last one is not for helpers."""
        model, shared = self.model[lease.job_id], self.of(lease.job_id)
        renderers = {one.lease.token for one in shared.shares if one.renders} | {model.attempt.lease.token}
        stored = frozenset(number for kind, number in model.checkpoints if kind is CheckpointKind.SEGMENT)
        taken = stored | {number for number, token in shared.reserved.items() if token in renderers}
        assert shared.segments is not None
        free = [number for number in range(shared.segments - helps) if number not in taken]
        reserved = free[0] if free else None
        assert self.store.shares.reserve(lease, helps=helps) == Segments(reserved=reserved, stored=stored)
        if reserved is not None:
            shared.reserved[reserved] = lease.token

    @rule(number=NUMBERS)
    def renew_share(self, number: int) -> None:
        one = self.sharing(number)
        self.store.shares.renew(one.lease, 3600)
        one.expired = False

    @rule(number=NUMBERS, gpu_s=GPU_S)
    def progress_of_share(self, number: int, gpu_s: float) -> None:
        one = self.sharing(number)
        for _ in range(2):
            self.store.shares.progress(one.lease, gpu_s)
        one.gpu_s = max(one.gpu_s, gpu_s)

    @rule(number=NUMBERS, gpu_s=GPU_S, cause=st.sampled_from([Cause.DEFECT, Cause.TRANSIENT, None]))
    def end_share(self, number: int, gpu_s: float, cause: Cause | None) -> None:
        """End a share, whose worker then claims another one; its last report is repeated."""
        one = self.sharing(number)
        self.store.shares.progress(one.lease, gpu_s)
        self.store.shares.end(one.lease, cause, gpu_s)
        one.ended, one.cause, one.gpu_s = True, cause, max(one.gpu_s, gpu_s)
        self.claim_share(one.worker)

    @rule(number=NUMBERS)
    def expire_share(self, number: int) -> None:
        one = self.sharing(number)
        passed = "UPDATE shares SET lease_expires_at = now() - interval '1 s' WHERE token = :token"
        change(self.store, passed, token=one.lease.token)
        one.expired = True

    @rule(number=NUMBERS, loses=st.booleans())
    def end_expired_shares(self, number: int, *, loses: bool) -> None:
        """End the shares whose leases have expired, after one more has; others may be open."""
        if loses:
            self.expire_share(number)
        else:
            self.sharing(number)
        lost = [one for one in self.all_shares() if one.expired and not one.ended]
        assert self.store.shares.end_expired() == len(lost)
        self.failures_in_a_row += Counter(one.worker for one in lost)
        for one in lost:
            one.ended, one.cause = True, Cause.WORKER_LOST

    @rule(number=NUMBERS)
    def write_with_former_share(self, number: int) -> None:
        """Try all writes of a share that has ended; of a job that is final, a share may still end."""
        self.sharing(number)
        if all(map(self.holds, self.helped)):
            self.end_share(number, 0.0, None)
        one = pick((one for one in self.helped if not self.holds(one)), number)
        ends = one.lease.job_id in self.model and not one.ended
        accepted = [name for name, write in WRITES.items() if accepts(write, self.store, one.lease)]
        assert accepted == (["end"] if ends else [])
        one.ended = True

    @invariant()
    def the_shares_equal_the_model(self) -> None:
        (read,) = rows(self.store, READ)
        assert {tuple(row) for row in read.shares} == {
            (str(one.lease.token), one.ended, one.cause, one.saved, one.expired) for one in self.all_shares()
        }
        assert {tuple(row) for row in read.reserved} == {
            (str(job_id), number, str(token))
            for job_id in self.model
            for number, token in self.of(job_id).reserved.items()
        }

    def new_checkpoint(self, lease: Lease, kind: CheckpointKind, number: int) -> Checkpoint:
        """Return a checkpoint that is saved next. A stored segment is not reserved."""
        if kind is CheckpointKind.SEGMENT:
            self.of(lease.job_id).reserved.pop(number, None)
        return super().new_checkpoint(lease, kind, number)

    def gpu_s(self, job_id: UUID) -> float:
        return super().gpu_s(job_id) + sum(one.gpu_s for one in self.of(job_id).shares)


@pytest.mark.parametrize("walks", [6, pytest.param(40, marks=pytest.mark.long)])
def test_shares_change_no_state_of_a_job_in_any_order_of_calls(store: Store, walks: int) -> None:
    ShareMachine.store = store
    walk(ShareMachine, walks)
