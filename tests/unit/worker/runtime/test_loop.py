from __future__ import annotations

import socket
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from dubline.orchestration.domain.errors import DatabaseUnavailableError, DeviceFailedError
from dubline.worker.runtime import loop
from dubline.worker.runtime.channel import NOTIFY, POLLED, SHUT_DOWN, ParentChannel
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.loop import JITTER, RETRY_S, Loop, QuarantinedError
from dubline.worker.runtime.shutdown import Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG_S = 30.0


class RunningLoop:
    """A loop in a thread, the parent's end of its socket, and an executor that calls `work` with a call count."""

    def __init__(self, work: Callable[[int], bool], poll_s: float, liveness: Path | None = None) -> None:
        self.calls = 0
        self.called = Event()
        self.work = work
        self.parent, self.child = socket.socketpair()
        self.shutdown = Shutdown()
        self.loop = Loop(
            executor=self,
            channel=ParentChannel(self.child, self.shutdown, give_up=lambda: None),
            shutdown=self.shutdown,
            liveness=LivenessFile(liveness),
            poll_s=poll_s,
        )
        self.thread = Thread(target=self.loop.run)
        self.thread.start()

    def run_next(self) -> bool:
        self.calls += 1
        self.called.set()
        return self.work(self.calls)

    def stop(self) -> None:
        self.parent.sendall(SHUT_DOWN)
        self.thread.join(LONG_S)
        assert not self.thread.is_alive()
        self.parent.close()
        self.child.close()


class ScriptedChannel:
    """Returns the given notifications, records what the loop does, and requests a shutdown after the last wait."""

    def __init__(self, notified: list[bool], shutdown: Shutdown) -> None:
        self._notified = iter(notified)
        self._last = len(notified)
        self._shutdown = shutdown
        self.events: list[str] = []
        self.waits_s: list[float] = []

    def pop_notification(self) -> bool:
        return next(self._notified)

    def acknowledge(self) -> None:
        self.events.append("acknowledge")

    def wait(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        if len(self.waits_s) == self._last:
            self._shutdown.request()


def scripted(
    notified: list[bool], work: Callable[[], bool], poll_s: float = 5.0, liveness: Path | None = None
) -> ScriptedChannel:
    """Run a loop to its end; return its channel."""
    shutdown = Shutdown()
    channel = ScriptedChannel(notified, shutdown)

    class Recorded:
        def run_next(self) -> bool:
            channel.events.append("poll")
            return work()

    one = Loop(
        executor=Recorded(),
        channel=channel,  # type: ignore[arg-type]
        shutdown=shutdown,
        liveness=LivenessFile(liveness),
        poll_s=poll_s,
    )
    one.run()
    return channel


def test_an_idle_worker_waits_after_each_poll_for_about_the_interval() -> None:
    channel = scripted([False] * 50, lambda: False)
    assert channel.events == ["poll"] * 50
    assert all(5 * (1 - JITTER) <= wait_s <= 5 * (1 + JITTER) for wait_s in channel.waits_s)
    assert max(channel.waits_s) - min(channel.waits_s) > 5 * JITTER


def test_only_the_poll_of_a_notification_is_acknowledged() -> None:
    channel = scripted([False, True, False], lambda: False)
    assert channel.events == ["poll", "poll", "acknowledge", "poll"]


@pytest.mark.parametrize(("poll_s", "wait_s"), [(5.0, RETRY_S), (0.5, 0.5)])
def test_the_wait_after_a_failed_poll_is_short(poll_s: float, wait_s: float) -> None:
    def fail() -> bool:
        raise DatabaseUnavailableError

    channel = scripted([True, False], fail, poll_s)
    assert channel.waits_s == [wait_s, wait_s]
    assert channel.events == ["poll", "acknowledge", "poll"]


def test_the_liveness_file_is_touched_after_each_job(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    left = [True, True, False]

    def work() -> bool:
        file.unlink()
        return left.pop(0)

    scripted([False], work, liveness=file)
    assert not left


def test_an_idle_worker_stops_at_once() -> None:
    running = RunningLoop(lambda _: False, poll_s=1e6)
    assert running.called.wait(LONG_S)
    running.stop()


def test_a_notification_is_acknowledged_when_no_work_is_left() -> None:
    running = RunningLoop(lambda calls: calls % 4 != 0, poll_s=1e6)
    try:
        assert running.called.wait(LONG_S)
        running.parent.sendall(NOTIFY)
        assert running.parent.recv(8) == POLLED
        assert running.calls >= 4
        assert running.calls % 4 == 0
    finally:
        running.stop()


def test_the_worker_polls_without_notifications() -> None:
    enough = Event()
    running = RunningLoop(lambda calls: bool(calls >= 5 and enough.set()), poll_s=0.01)
    try:
        assert enough.wait(LONG_S)
    finally:
        running.stop()


@pytest.mark.parametrize("error", [DatabaseUnavailableError(), KeyError("a defect")])
def test_a_failed_poll_is_repeated_soon(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "RETRY_S", 0.01)
    again = Event()

    def work(calls: int) -> bool:
        if calls == 1:
            raise error
        again.set()
        return False

    running = RunningLoop(work, poll_s=1e6)
    try:
        assert again.wait(LONG_S)
    finally:
        running.stop()


def test_no_work_begins_after_a_stop() -> None:
    started, stopped = Event(), Event()

    def work(_calls: int) -> bool:
        started.set()
        assert stopped.wait(LONG_S)
        return True

    running = RunningLoop(work, poll_s=1e6)
    assert started.wait(LONG_S)
    running.shutdown.request()
    stopped.set()
    running.stop()
    assert running.calls == 1


@pytest.mark.parametrize("error", [DeviceFailedError(), QuarantinedError()])
def test_a_worker_that_cannot_work_ends_the_loop(error: Exception) -> None:
    class Broken:
        def run_next(self) -> bool:
            raise error

    ours, theirs = socket.socketpair()
    with ours, theirs:
        shutdown = Shutdown()
        channel = ParentChannel(theirs, shutdown, give_up=lambda: None)
        with pytest.raises(type(error)):
            Loop(executor=Broken(), channel=channel, shutdown=shutdown, liveness=LivenessFile(None), poll_s=1).run()


def test_each_poll_touches_the_liveness_file(tmp_path: Path) -> None:
    running = RunningLoop(lambda _: False, poll_s=1e6, liveness=tmp_path / "alive")
    try:
        assert running.called.wait(LONG_S)
        assert (tmp_path / "alive").exists()
    finally:
        running.stop()
