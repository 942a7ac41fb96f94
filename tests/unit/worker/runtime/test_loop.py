from __future__ import annotations

import socket
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from dubline.orchestration.domain.errors import DatabaseUnavailableError, DeviceFailedError
from dubline.worker.runtime import loop
from dubline.worker.runtime.channel import NOTIFY, POLLED, SHUT_DOWN, ParentChannel
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.loop import Loop
from dubline.worker.runtime.shutdown import Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG_S = 30.0


class Post:
    """A loop in a thread, the parent's end of its line, and the work that it finds."""

    def __init__(self, work: Callable[[int], bool], poll_s: float, liveness: Path | None = None) -> None:
        self.looks = 0
        self.looked = Event()
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
        self.looks += 1
        self.looked.set()
        return self.work(self.looks)

    def stop(self) -> None:
        self.parent.sendall(SHUT_DOWN)
        self.thread.join(LONG_S)
        assert not self.thread.is_alive()
        self.parent.close()
        self.child.close()


def test_an_idle_worker_stops_at_once() -> None:
    post = Post(lambda _: False, poll_s=1e6)
    assert post.looked.wait(LONG_S)
    post.stop()


def test_a_nudge_is_answered_when_nothing_is_left_to_do() -> None:
    post = Post(lambda look: look % 4 != 0, poll_s=1e6)
    try:
        assert post.looked.wait(LONG_S)
        post.parent.sendall(NOTIFY)
        assert post.parent.recv(8) == POLLED
        assert post.looks >= 4
        assert post.looks % 4 == 0
    finally:
        post.stop()


def test_without_nudges_the_clock_makes_it_look() -> None:
    enough = Event()
    post = Post(lambda look: bool(look >= 5 and enough.set()), poll_s=0.01)
    try:
        assert enough.wait(LONG_S)
    finally:
        post.stop()


@pytest.mark.parametrize("error", [DatabaseUnavailableError(), KeyError("a defect")])
def test_a_look_that_fails_is_repeated_soon(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "RETRY_S", 0.01)
    again = Event()

    def work(look: int) -> bool:
        if look == 1:
            raise error
        again.set()
        return False

    post = Post(work, poll_s=1e6)
    try:
        assert again.wait(LONG_S)
    finally:
        post.stop()


def test_a_stop_lets_nothing_new_begin() -> None:
    started, stopped = Event(), Event()

    def work(_look: int) -> bool:
        started.set()
        assert stopped.wait(LONG_S)
        return True

    post = Post(work, poll_s=1e6)
    assert started.wait(LONG_S)
    post.shutdown.request()
    stopped.set()
    post.stop()
    assert post.looks == 1


def test_a_dead_device_ends_the_loop() -> None:
    class Broken:
        def run_next(self) -> bool:
            raise DeviceFailedError

    ours, theirs = socket.socketpair()
    with ours, theirs:
        shutdown = Shutdown()
        channel = ParentChannel(theirs, shutdown, give_up=lambda: None)
        with pytest.raises(DeviceFailedError):
            Loop(executor=Broken(), channel=channel, shutdown=shutdown, liveness=LivenessFile(None), poll_s=1).run()


def test_each_look_is_felt(tmp_path: Path) -> None:
    post = Post(lambda _: False, poll_s=1e6, liveness=tmp_path / "liveness")
    try:
        assert post.looked.wait(LONG_S)
        assert (tmp_path / "liveness").exists()
    finally:
        post.stop()
