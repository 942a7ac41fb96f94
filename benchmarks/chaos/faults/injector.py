"""Fault injector: carries out scheduled faults against a testbed."""

from __future__ import annotations

import random
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Lock
from typing import TYPE_CHECKING, Final, Self

from benchmarks.chaos.faults.schedule import BUCKET_BEHAVIOURS, Fault, FaultKind
from benchmarks.chaos.testbed.database_reader import DatabaseReader, HeldJob
from benchmarks.chaos.testbed.disk import fill
from benchmarks.chaos.testbed.processes import age_s, kill_process, send_signal
from benchmarks.chaos.testbed.proxy import PASS_THROUGH
from benchmarks.chaos.testbed.testbed import API, BROKER, DATABASE, MAINTENANCE, Testbed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from benchmarks.chaos.history import History

#: A job is not hit in its third attempt, because three lost workers end a job by design.
SPARED_ATTEMPT: Final = 3
#: Preferred age of a killed child. The supervisor delays the successor of a child that ends before it is 5 s old.
PREFERRED_AGE_S: Final = 5.5
#: How long a kill waits for any target; then the kill is skipped.
KILL_WITHIN_S: Final = 30.0
#: Longer than the maintenance process takes to restart and to rescue a job whose lease has expired.
RESCUED_WITHIN_S: Final = 60.0
REFUSED_WITHIN_S: Final = 30.0
#: Longer than three failed jobs, a self-test and the starts of four children.
QUARANTINED_WITHIN_S: Final = 60.0
PAUSE_TRIES: Final = 200
#: Time for a request that a process sent before it was stopped to take effect.
SETTLE_S: Final = 0.2
START_TRIES: Final = 3
THREADS: Final = 6

#: Names of locks; faults of one target are carried out one after another.
PROXY: Final = "proxy"
DISK: Final = "disk"
PAUSE: Final = "pause"


class FaultInjector:
    """Injects faults into a testbed and records each in the history.

    Children are killed by the calling thread, all other faults are carried out in threads.

    Args:
        testbed: the target.
        history: receives the events.
        seed: seed of all random choices.
        lease_s: duration of a lease in the testbed.
        preference_s: how long a kill waits for a preferred target, and again for any child that holds a job.
        disk: small disk with the scratch folder of the first worker; None if there is none.
    """

    def __init__(  # noqa: PLR0913 - the target, the record and the facts of a plan
        self, testbed: Testbed, history: History, *, seed: int, lease_s: float, preference_s: float, disk: Path | None
    ) -> None:
        self._testbed, self._history, self._disk = testbed, history, disk
        self._lease_s, self._preference_s = lease_s, preference_s
        self._rng = random.Random(seed)  # noqa: S311 - not for cryptography
        self._database = DatabaseReader(testbed.database_url)
        self._stop = Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fault")
        self._running: list[Future[None]] = []
        self._paused: set[int] = set()
        targets = (API, MAINTENANCE, BROKER, DATABASE, PROXY, DISK, PAUSE, *testbed.workers)
        self._locks = {name: Lock() for name in targets}
        self._former_holders: set[int] = set()
        self._kill_due_since: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._pool.shutdown(wait=True)
        self._database.close()

    @property
    def busy(self) -> bool:
        """Whether a fault is in progress; raises as `raise_failure`."""
        self.raise_failure()
        return bool(self._running)

    def raise_failure(self) -> None:
        """Raise the error of a fault that failed.

        Raises:
            PartFailed: a part that was killed or stopped could not be started again.
        """
        done = [future for future in self._running if future.done()]
        self._running = [future for future in self._running if not future.done()]
        for future in done:
            future.result()

    def inject(self, fault: Fault) -> bool:
        """Carry out a fault, or start it in a thread.

        Returns:
            False if the kill of a child found no suitable target; the caller then tries again.
        """
        if fault.kind is FaultKind.KILL_CHILD:
            return self._kill_child()
        work = {
            FaultKind.KILL_WORKER: self._kill_worker,
            FaultKind.KILL_MAINTENANCE: lambda _: self._kill_part(MAINTENANCE),
            FaultKind.KILL_API: lambda _: self._kill_part(API),
            FaultKind.PAUSE_CHILD: self._pause_child,
            FaultKind.RESTART_BROKER: self._restart_broker,
            FaultKind.FLUSH_BROKER: self._flush_broker,
            FaultKind.RESTART_DATABASE: self._restart_database,
            FaultKind.SCRATCH_FULL: self._fill_disk,
            FaultKind.ALWAYS_FAILING_DEVICE: self._break_device,
            FaultKind.FAILS_EVERY_SECOND_JOB: self._fail_jobs,
        }.get(fault.kind, self._disturb_bucket)
        self._running.append(self._pool.submit(work, fault))
        return True

    def _kill_child(self) -> bool:
        self._kill_due_since = self._kill_due_since or time.monotonic()
        waited_s = time.monotonic() - self._kill_due_since
        pid, at = self._choose_child(waited_s), time.time()
        if pid is not None and kill_process(pid):
            self._history.record("killed", at, role="child", pids=[pid])
        elif waited_s > KILL_WITHIN_S:
            self._skip(FaultKind.KILL_CHILD, f"no worker held a job for {KILL_WITHIN_S:.0f} s")
        else:
            return False
        self._kill_due_since = None
        return True

    def _choose_child(self, waited_s: float) -> int | None:
        """Choose a child to kill.

        At first only a child of the preferred age that holds a job; after a wait any child that holds a job; after
        another wait any child that has held one.
        """
        children = self._children() - self._paused
        held = self._database.held_jobs()
        holders = [one.pid for one in held if one.attempt < SPARED_ATTEMPT and one.pid in children]
        self._former_holders.update(holders)
        self._former_holders &= children
        choices = [pid for pid in holders if age_s(pid) > PREFERRED_AGE_S]
        if not choices and waited_s > self._preference_s:
            choices = holders
        if not choices and waited_s > 2 * self._preference_s:
            choices = sorted(self._former_holders)
        return self._rng.choice(choices) if choices else None

    def _children(self) -> set[int]:
        return {pid for name in self._testbed.workers for pid in self._testbed.children(name)}

    def _kill_worker(self, _: Fault) -> None:
        paused = set(self._paused)
        free = [name for name in self._testbed.workers if not paused.intersection(self._testbed.children(name))]
        if free:
            self._kill_part(self._rng.choice(free))

    def _kill_part(self, name: str) -> None:
        with self._locks[name]:
            at = time.time()
            self._history.record("killed", at, role=name, pids=self._testbed.kill(name))
            self._stop.wait(self._rng.uniform(0, 1))
            self._start(name)

    def _start(self, name: str) -> None:
        for attempt in range(1, START_TRIES + 1):
            try:
                self._testbed.restart(name)
            except Exception as error:
                self._history.record("restart_failed", part=name, attempt=attempt, error=str(error))
                if attempt == START_TRIES:
                    raise
            else:
                self._history.record("restarted", part=name)
                return

    @contextmanager
    def _recorded(self, fault: Fault, target: str) -> Iterator[None]:
        """Record the start and the end of a fault; wait for earlier faults of the same target."""
        with self._locks[target]:
            self._history.record("fault_started", fault=fault.kind)
            yield
            self._history.record("fault_ended", fault=fault.kind)

    def _skip(self, kind: FaultKind, reason: str) -> None:
        self._history.record("fault_skipped", fault=kind, reason=reason)

    def _restart_broker(self, fault: Fault) -> None:
        with self._recorded(fault, BROKER):
            self._testbed.kill(BROKER)
            self._stop.wait(fault.duration_s)
            self._start(BROKER)

    def _flush_broker(self, fault: Fault) -> None:
        with self._recorded(fault, BROKER):
            if not self._testbed.flush_broker():
                self._skip(fault.kind, "the broker did not confirm")

    def _restart_database(self, fault: Fault) -> None:
        with self._recorded(fault, DATABASE):
            self._testbed.stop(DATABASE)
            self._stop.wait(fault.duration_s)
            self._start(DATABASE)

    def _disturb_bucket(self, fault: Fault) -> None:
        with self._recorded(fault, PROXY):
            self._testbed.proxy.set_behaviour(BUCKET_BEHAVIOURS[fault.kind])
            self._stop.wait(fault.duration_s)
            self._testbed.proxy.set_behaviour(PASS_THROUGH)

    def _fill_disk(self, fault: Fault) -> None:
        if self._disk is None:
            self._skip(fault.kind, "this user cannot mount a small disk")
            return
        with self._recorded(fault, DISK):
            filling = fill(self._disk)
            self._stop.wait(fault.duration_s)
            filling.unlink()

    def _break_device(self, fault: Fault) -> None:
        """Let every job of a worker fail until it quarantines itself, then replace it by one without the fault."""
        name = self._rng.choice(self._testbed.workers)
        with self._recorded(fault, name), DatabaseReader(self._testbed.database_url) as database:
            self._testbed.set_defect(name, fault.kind)
            self._wait_for(lambda: bool(self._quarantined(database, name)), QUARANTINED_WITHIN_S)
            if pids := self._quarantined(database, name):
                self._history.record("quarantined", pids=sorted(pids))
            else:
                self._skip(fault.kind, f"the worker was not quarantined within {QUARANTINED_WITHIN_S:.0f} s")
            self._testbed.set_defect(name, "")
            self._testbed.kill(name)
            self._start(name)

    def _quarantined(self, database: DatabaseReader, name: str) -> frozenset[int]:
        return database.quarantined_workers().intersection(self._testbed.children(name))

    def _fail_jobs(self, fault: Fault) -> None:
        name = self._rng.choice(self._testbed.workers)
        with self._recorded(fault, name):
            self._testbed.set_defect(name, fault.kind)
            self._stop.wait(fault.duration_s)
            self._testbed.set_defect(name, "")

    def _pause_child(self, fault: Fault) -> None:
        with self._locks[PAUSE], DatabaseReader(self._testbed.database_url) as database:
            paused = self._pause_holder(database)
            if paused is None:
                self._skip(fault.kind, "no worker held a job for long enough")
                return
            self._history.record(
                "paused", fault=fault.kind, pids=[paused.pid], id=paused.job_id, attempt=paused.attempt
            )
            try:
                # Until the job is rescued, which takes longer while the maintenance process is down as well.
                self._wait_for(lambda: not database.is_open(paused), self._lease_s + RESCUED_WITHIN_S)
            finally:
                send_signal(paused.pid, signal.SIGCONT)
            self._history.record("resumed", pids=[paused.pid])
            self._wait_for(lambda: database.refused_writes(paused) > 0, REFUSED_WITHIN_S)
            self._paused.discard(paused.pid)

    def _wait_for(self, condition: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not condition() and time.monotonic() < deadline and not self._stop.wait(SETTLE_S):
            pass

    def _pause_holder(self, database: DatabaseReader) -> HeldJob | None:
        """Stop a child that holds a job, and check that it still holds the job once it is stopped."""
        for _ in range(PAUSE_TRIES):
            children = self._children()
            for held in database.held_jobs():
                if held.pid not in children or held.attempt >= SPARED_ATTEMPT:
                    continue
                self._paused.add(held.pid)
                if send_signal(held.pid, signal.SIGSTOP):
                    # A write that the child sent before, or a SIGKILL, may still take effect.
                    time.sleep(SETTLE_S)
                    if database.is_open(held) and age_s(held.pid):
                        return held
                    send_signal(held.pid, signal.SIGCONT)
                self._paused.discard(held.pid)
            if self._stop.wait(0.05):
                break
        return None
