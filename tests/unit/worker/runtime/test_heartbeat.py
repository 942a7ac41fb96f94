from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from threading import Event

import pytest
import structlog

from dubline.orchestration.domain.errors import DatabaseUnavailableError, LeaseLostError
from dubline.worker.runtime.heartbeat import OUTAGE_LEASES, STALL_S, Heartbeat
from dubline.worker.settings import LeaseSettings

QUICK = LeaseSettings.model_validate({"duration_s": 0.05, "heartbeat_s": 0.005})


class Clock:
    """A clock that the test sets."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the heartbeat; its waits take real time."""
    clock = Clock()
    monkeypatch.setattr("dubline.worker.runtime.heartbeat.time", clock)
    return clock


class LeaseStub:
    """Returns or raises the given results of renewals in order, and repeats the last one."""

    def __init__(self, results: list[type[Exception] | None]) -> None:
        self._results = results
        self.renewals = 0
        self.used_up = Event()

    def renew(self, seconds: float) -> None:
        assert seconds == QUICK.duration_s
        self.renewals += 1
        error = self._results[min(self.renewals, len(self._results)) - 1]
        if self.renewals >= len(self._results):
            self.used_up.set()
        if error is not None:
            raise error


def test_a_lease_is_renewed_until_the_work_ends() -> None:
    lease = LeaseStub([None, None, None])
    with Heartbeat(lease.renew, QUICK) as heartbeat:
        assert lease.used_up.wait(60)
        heartbeat.check()
    assert not heartbeat.lost
    assert not heartbeat._thread.is_alive()


def test_a_lost_lease_is_raised_at_the_next_check() -> None:
    lease = LeaseStub([None, LeaseLostError])
    with Heartbeat(lease.renew, QUICK) as heartbeat:
        assert heartbeat._lost.wait(60)
        with pytest.raises(LeaseLostError):
            heartbeat.check()


def test_work_whose_lease_is_lost_may_end_later_than_the_lease() -> None:
    ended = Event()
    lease = LeaseStub([LeaseLostError])
    with Heartbeat(lease.renew, QUICK, give_up=ended.set) as heartbeat:
        heartbeat._thread.join(60)
        assert heartbeat.lost
    assert not ended.is_set()


def test_what_a_heartbeat_logs_names_the_job() -> None:
    lease = LeaseStub([DatabaseUnavailableError, LeaseLostError])
    long_lease = LeaseSettings.model_validate({"duration_s": 60, "heartbeat_s": 0.005})
    merge = structlog.contextvars.merge_contextvars
    with (
        structlog.testing.capture_logs(processors=[merge]) as events,
        structlog.contextvars.bound_contextvars(job_id="7"),
        Heartbeat(lambda _: lease.renew(QUICK.duration_s), long_lease) as heartbeat,
    ):
        assert heartbeat._lost.wait(60)
    assert [(event["event"], event.get("job_id")) for event in events] == [
        ("heartbeat_missed", "7"),
        ("lease_lost", "7"),
    ]


def test_a_short_outage_does_not_lose_the_lease() -> None:
    long_lease = LeaseSettings.model_validate({"duration_s": 60, "heartbeat_s": 0.005})
    results: list[type[Exception] | None] = [DatabaseUnavailableError, DatabaseUnavailableError, None]
    lease = LeaseStub(results)
    with Heartbeat(lambda _: lease.renew(QUICK.duration_s), long_lease) as heartbeat:
        assert lease.used_up.wait(60)
        heartbeat.check()


def test_an_outage_longer_than_a_lease_does_not_lose_unclaimed_work() -> None:
    short_lease = LeaseSettings.model_validate({"duration_s": 1.0, "heartbeat_s": 0.05})
    back_at, renewed = time.monotonic() + 1.5 * short_lease.duration_s, Event()

    def renew(_: float) -> None:
        if time.monotonic() < back_at:
            raise DatabaseUnavailableError
        renewed.set()

    with Heartbeat(renew, short_lease) as heartbeat:
        assert renewed.wait(60)
        heartbeat.check()


def test_a_long_outage_loses_the_lease_and_not_the_process(clock: Clock) -> None:
    ended = Event()
    outage_s = OUTAGE_LEASES * QUICK.duration_s
    tries: list[float] = []

    def renew(_: float) -> None:
        tries.append(clock.now_s)
        clock.now_s += outage_s / 4
        raise DatabaseUnavailableError

    with Heartbeat(renew, QUICK, give_up=ended.set) as heartbeat:
        heartbeat._thread.join(60)
        assert heartbeat.lost
    assert not ended.is_set()
    assert len(tries) == 5


def test_stalled_work_loses_its_lease_and_its_process() -> None:
    ended = Event()
    with Heartbeat(lambda _: None, QUICK, stall_s=0.02, give_up=ended.set) as heartbeat:
        assert heartbeat._lost.wait(60)
        assert ended.wait(60)
        with pytest.raises(LeaseLostError):
            heartbeat.check()


def test_stalled_work_that_ends_in_time_keeps_its_process() -> None:
    ended = Event()
    long_lease = LeaseSettings.model_validate({"duration_s": 60, "heartbeat_s": 0.005})
    with Heartbeat(lambda _: None, long_lease, stall_s=0.02, give_up=ended.set) as heartbeat:
        assert heartbeat._lost.wait(60)
    assert not heartbeat._thread.is_alive()
    assert not ended.is_set()


def test_checks_keep_the_lease_however_long_the_work_is(clock: Clock) -> None:
    enough = Event()
    heartbeat: Heartbeat

    def renew(_: float) -> None:
        heartbeat.check()
        clock.now_s += STALL_S / 2
        if clock.now_s > 10 * STALL_S:
            enough.set()

    heartbeat = Heartbeat(renew, QUICK, give_up=enough.set)
    # The time before the block is none without progress.
    clock.now_s += 2 * STALL_S
    with heartbeat:
        assert enough.wait(60)
        heartbeat.check()


def test_a_worker_is_killed_at_once() -> None:
    script = "from dubline.worker.runtime import heartbeat; heartbeat.kill_worker()"
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL


def test_renewals_are_in_time_while_all_processors_are_busy() -> None:
    """With the default lease five renewals in a row must fail before it is lost; each may be 4 s late."""
    default = LeaseSettings()
    frequent = LeaseSettings.model_validate({"duration_s": 60, "heartbeat_s": 0.05})
    command = [sys.executable, "-I", "-S", "-c", "print(flush=True)\nwhile True: pass"]
    burners = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    try:
        for burner in burners:
            assert burner.stdout
            burner.stdout.read(1)
        renewed_at = [time.monotonic()]
        with Heartbeat(lambda _: renewed_at.append(time.monotonic()), frequent):
            # This thread acquires the interpreter lock as often as possible, as Python code between two batches does.
            while len(renewed_at) <= 15 and time.monotonic() < renewed_at[0] + 60:
                sum(range(1000))
    finally:
        for burner in burners:
            burner.kill()
            burner.communicate()
    late = max(after - before for before, after in itertools.pairwise(renewed_at)) - frequent.heartbeat_s
    assert len(renewed_at) > 15
    assert late < default.duration_s / 2 - default.heartbeat_s, f"{late} s with {os.cpu_count()} processors"
