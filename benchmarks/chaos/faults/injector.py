"""Carries faults out against a rig: kills at once, spells and restarts in threads of their own."""

from __future__ import annotations

import random
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock
from typing import TYPE_CHECKING, Final, Self

from benchmarks.chaos.faults.schedule import LINES, Fault, Kind
from benchmarks.chaos.testbed.disk import fill
from benchmarks.chaos.testbed.proxy import CLEAR
from benchmarks.chaos.testbed.rows import Held, Rows
from benchmarks.chaos.testbed.testbed import API, BROKER, CONTROL, DATABASE, Rig, age_s, kill_child, send

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from benchmarks.chaos.history import History

#: A job in its third attempt is not hit: three lost workers end a job, by design.
SPARED_ATTEMPT: Final = 3
#: A child that ends younger than 5 s is taken for one that cannot live, and its successor has to wait.
GROWN_UP_S: Final = 5.5
#: How long a kill waits for a better victim.
PATIENCE_S: Final = 2.5
#: How long a kill waits for any victim; then it is left out, and missing in the count.
GIVEN_UP_S: Final = 30.0
#: Longer than control takes to come back and to see that a lease has run out.
RESCUED_WITHIN_S: Final = 60.0
PAUSE_TRIES: Final = 200
SETTLE_S: Final = 0.2
REFUSED_WITHIN_S: Final = 30.0
STARTS: Final = 3
THREADS: Final = 6


class Havoc:
    """What is done to a rig; each fault is written into the history.

    Args:
        rig: the target.
        history: what it writes into.
        seed: of all its choices.
        lease_s: how long the rig's workers keep a lease.
        disk: the small disk that the first worker writes on; None where there is none.
    """

    def __init__(self, rig: Rig, history: History, seed: int, lease_s: float, disk: Path | None) -> None:
        self._rig, self._history, self._lease_s, self._disk = rig, history, lease_s, disk
        # Nothing depends on its being hard to guess.
        self._dice = random.Random(seed)  # noqa: S311
        self._rows = Rows(rig.database_url)
        self._stop = Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="havoc")
        self._running: list[Future[None]] = []
        self._paused: set[int] = set()
        self._locks = {name: Lock() for name in (API, CONTROL, BROKER, DATABASE, "line", "disk", "pause", *rig.workers)}
        self._known: set[int] = set()
        self._wanted_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._pool.shutdown(wait=True)
        self._rows.__exit__(kind, error, trace)

    @property
    def busy(self) -> bool:
        """Whether a fault still lasts; raises as `look`."""
        self.look()
        return bool(self._running)

    def look(self) -> None:
        """See that what was killed comes back.

        Raises:
            PartFailed: it does not.
        """
        done = [future for future in self._running if future.done()]
        self._running = [future for future in self._running if not future.done()]
        for future in done:
            future.result()

    def do(self, fault: Fault) -> bool:
        """Carry a fault out, or begin it; tell whether it was: a kill may want to wait for a better moment."""
        if fault.kind is Kind.KILL_CHILD:
            return self._kill_child()
        work = {
            Kind.KILL_WORKER: self._kill_worker,
            Kind.KILL_CONTROL: lambda _: self._kill_part(CONTROL),
            Kind.KILL_API: lambda _: self._kill_part(API),
            Kind.PAUSE_CHILD: self._pause_child,
            Kind.RESTART_BROKER: self._restart_broker,
            Kind.FLUSH_BROKER: lambda _: self._note_flush(),
            Kind.RESTART_DATABASE: self._restart_database,
            Kind.SCRATCH_FULL: self._fill_disk,
        }.get(fault.kind, self._spoil_line)
        self._running.append(self._pool.submit(work, fault))
        return True

    def _kill_child(self) -> bool:
        self._wanted_at = self._wanted_at or time.monotonic()
        waited_s = time.monotonic() - self._wanted_at
        pid, at = self._victim(waited_s), time.time()
        if pid is not None and kill_child(pid):
            self._history.note("killed", at, role="child", pids=[pid])
        elif waited_s > GIVEN_UP_S:
            self._history.note("fault_skipped", fault=Kind.KILL_CHILD, why=f"nobody held a job for {GIVEN_UP_S:.0f} s")
        else:
            return False
        self._wanted_at = None
        return True

    def _victim(self, waited_s: float) -> int | None:
        """A grown-up child that holds a job; soon any that holds one; at last any that ever held one."""
        children = {pid for name in self._rig.workers for pid in self._rig.children(name)} - self._paused
        holders = [one.pid for one in self._rows.held() if one.attempt < SPARED_ATTEMPT and one.pid in children]
        self._known.update(holders)
        self._known &= children
        choices = [pid for pid in holders if age_s(pid) > GROWN_UP_S]
        if not choices and waited_s > PATIENCE_S:
            choices = holders
        if not choices and waited_s > 2 * PATIENCE_S:
            choices = sorted(self._known)
        return self._dice.choice(choices) if choices else None

    def _kill_worker(self, _: Fault) -> None:
        paused = set(self._paused)
        free = [name for name in self._rig.workers if not paused.intersection(self._rig.children(name))]
        if free:
            self._kill_part(self._dice.choice(free))

    def _kill_part(self, name: str) -> None:
        with self._locks[name]:
            at = time.time()
            self._history.note("killed", at, role=name, pids=self._rig.kill(name))
            self._stop.wait(self._dice.uniform(0, 1))
            self._start(name)

    def _start(self, name: str) -> None:
        for attempt in range(1, STARTS + 1):
            try:
                self._rig.restart(name)
            except Exception as error:
                self._history.note("not_restarted", part=name, attempt=attempt, error=str(error))
                if attempt == STARTS:
                    raise
            else:
                self._history.note("restarted", part=name)
                return

    def _restart_broker(self, fault: Fault) -> None:
        with self._locks[BROKER]:
            self._history.note("fault_began", fault=fault.kind, pids=self._rig.kill(BROKER))
            self._stop.wait(fault.spell_s)
            self._start(BROKER)
            self._history.note("fault_ended", fault=fault.kind)

    def _note_flush(self) -> None:
        with self._locks[BROKER]:
            self._history.note(Kind.FLUSH_BROKER, done=self._rig.flush_broker())

    def _restart_database(self, fault: Fault) -> None:
        with self._locks[DATABASE]:
            self._history.note("fault_began", fault=fault.kind)
            self._rig.shut_down(DATABASE)
            self._stop.wait(fault.spell_s)
            self._start(DATABASE)
            self._history.note("fault_ended", fault=fault.kind)

    def _spoil_line(self, fault: Fault) -> None:
        with self._locks["line"]:
            self._history.note("fault_began", fault=fault.kind)
            self._rig.proxy.become(LINES[fault.kind])
            self._stop.wait(fault.spell_s)
            self._rig.proxy.become(CLEAR)
            self._history.note("fault_ended", fault=fault.kind)

    def _fill_disk(self, fault: Fault) -> None:
        if self._disk is None:
            self._history.note("fault_skipped", fault=fault.kind, why="no small disk can be mounted by this user")
            return
        with self._locks["disk"]:
            self._history.note("fault_began", fault=fault.kind)
            filling = fill(self._disk)
            self._stop.wait(fault.spell_s)
            filling.unlink()
            self._history.note("fault_ended", fault=fault.kind)

    def _pause_child(self, fault: Fault) -> None:
        with self._locks["pause"], Rows(self._rig.database_url) as rows:
            frozen = self._freeze(rows)
            if frozen is None:
                self._history.note("fault_skipped", fault=fault.kind, why="nobody held a job long enough")
                return
            self._history.note("paused", pids=[frozen.pid], id=frozen.job_id, attempt=frozen.attempt)
            try:
                # Past the lease and until the job was taken away, which takes longer while control is away too.
                self._await(lambda: not rows.is_open(frozen), self._lease_s + RESCUED_WITHIN_S)
            finally:
                send(frozen.pid, signal.SIGCONT)
            self._history.note("resumed", pids=[frozen.pid])
            self._await(lambda: rows.refused_writes(frozen) > 0, REFUSED_WITHIN_S)
            self._paused.discard(frozen.pid)

    def _await(self, condition: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not condition() and time.monotonic() < deadline and not self._stop.wait(SETTLE_S):
            pass

    def _freeze(self, rows: Rows) -> Held | None:
        """Stop a child that holds a job, and make sure that it still holds it."""
        for _ in range(PAUSE_TRIES):
            children = {pid for name in self._rig.workers for pid in self._rig.children(name)}
            for one in rows.held():
                if one.pid not in children or one.attempt >= SPARED_ATTEMPT:
                    continue
                self._paused.add(one.pid)
                if send(one.pid, signal.SIGSTOP):
                    # What it had sent before may still be on its way, and so may a SIGKILL.
                    time.sleep(SETTLE_S)
                    if rows.is_open(one) and age_s(one.pid):
                        return one
                    send(one.pid, signal.SIGCONT)
                self._paused.discard(one.pid)
            if self._stop.wait(0.05):
                break
        return None
