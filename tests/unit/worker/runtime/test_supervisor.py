from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from dubline.worker.runtime import supervisor
from dubline.worker.runtime.channel import UNPREPARED
from dubline.worker.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG_S = 30.0
# A child that writes down what it hears, and answers nudges; stops when it hears a stop.
CHILD = """
import os, socket, sys
from pathlib import Path
line, folder = socket.socket(fileno=int(sys.argv[-2])), Path(sys.argv[-1])
(folder / f"born-{os.getpid()}").touch()
while word := line.recv(1):
    with (folder / "heard").open("ab") as file:
        file.write(word)
    if word == b"n":
        line.sendall(b".")
    elif (folder / "obey").read_bytes() == word:
        break
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "obey").write_bytes(b"d")
    return tmp_path


@contextmanager
def supervised(folder: Path, script: str = CHILD) -> Iterator[Supervisor]:
    made = Supervisor([sys.executable, "-c", script], folder)
    made.start()
    try:
        yield made
    finally:
        if not made.stopping:
            made.stop()
        made.wait()


def born(folder: Path, count: int) -> list[int]:
    until = time.monotonic() + LONG_S
    while len(found := [int(path.name.split("-")[1]) for path in folder.glob("born-*")]) < count:
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def test_a_nudge_reaches_the_child_and_waits_for_its_look(folder: Path) -> None:
    with supervised(folder) as made:
        made.notify()
        assert (folder / "heard").read_bytes() == b"n"
    assert (folder / "heard").read_bytes() == b"nd"
    assert not made.gave_up


def test_a_killed_child_is_followed_by_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.05)
    with supervised(folder) as made:
        (first,) = born(folder, 1)
        os.kill(first, signal.SIGKILL)
        born(folder, 2)
        made.notify()
        assert (folder / "heard").read_bytes() == b"n"


def test_a_nudge_outlives_no_child(folder: Path) -> None:
    """Whoever is waiting for the end of a look hears of the child's death."""
    script = CHILD.replace('line.sendall(b".")', "os.kill(os.getpid(), 9)")
    with supervised(folder, script) as made:
        waiting = Thread(target=made.notify)
        waiting.start()
        waiting.join(LONG_S)
        assert not waiting.is_alive()


def test_the_second_stop_is_a_hurried_one(folder: Path) -> None:
    (folder / "obey").write_bytes(b"h")
    with supervised(folder) as made:
        made.notify()
        made.stop()
        made.stop()
    assert (folder / "heard").read_bytes() == b"ndh"


def test_a_stop_before_the_child_listens_is_not_lost(folder: Path) -> None:
    with supervised(folder) as made:
        made.stop(force=True)
        (folder / "obey").write_bytes(b"h")


def test_nudges_end_with_the_stop(folder: Path) -> None:
    with supervised(folder) as made:
        born(folder, 1)
    made.notify()


def test_a_child_that_cannot_work_ends_the_parent(folder: Path) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        made = Supervisor([sys.executable, "-c", f"raise SystemExit({UNPREPARED})"], folder)
        made.start()
        made.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert made.gave_up
    assert received == [signal.SIGTERM]


def test_children_that_die_young_are_followed_after_longer_and_longer_pauses(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []

    def pause(_self: Supervisor, seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 7:
            made._stops = 1

    monkeypatch.setattr(Supervisor, "_pause", pause)
    made = Supervisor([sys.executable, "-S", "-c", "raise SystemExit(1)"], folder)
    made.start()
    made.wait()
    assert paused == [0.5, 1, 2, 4, 8, 10, 10]
