from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from dubline.worker.runtime import supervisor
from dubline.worker.runtime.channel import AFTER_QUARANTINE, QUARANTINED, UNPREPARED
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.supervisor import STEP_S, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG_S = 30.0
# A child that records the messages it receives, acknowledges notifications, and exits on the message in `exit-on`.
CHILD = """
import os, socket, sys
from pathlib import Path
connection, folder = socket.socket(fileno=int(sys.argv[-2])), Path(sys.argv[-1])
(folder / f"started-{os.getpid()}").touch()
while message := connection.recv(1):
    with (folder / "received").open("ab") as file:
        file.write(message)
    if message == b"n":
        connection.sendall(b".")
    elif (folder / "exit-on").read_bytes() == message:
        break
"""

# The first child is a fork that is killed by a notification; the second one is started by the command.
PARENT = """
import os, signal, socket, sys, time
from pathlib import Path
from dubline.worker.runtime import supervisor
supervisor.FIRST_PAUSE_S = 0.05
def work(connection, folder):
    (folder / "forked").write_text(f"{os.getppid()} {os.environ['SECRET']}")
    socket.socket(fileno=connection).recv(1)
    os.kill(os.getpid(), signal.SIGKILL)
made = supervisor.Supervisor([sys.executable, "-c", sys.argv[1]], Path(sys.argv[2]), {"SECRET": "hush"}, first=work)
made.start()
made.notify()
while not list(Path(sys.argv[2]).glob("started-*")):
    time.sleep(0.01)
made.notify()
made.stop()
made.wait()
print(os.getpid(), "SECRET" in os.environ)
"""

# Orphans become children of this process, as of the first process of a container. It prints how many are left.
CONTAINER = """
import os, sys, time
from pathlib import Path
from dubline.orchestration import process
from dubline.worker.runtime import supervisor
process.control(36, 1)
supervisor.INIT, supervisor.FIRST_PAUSE_S, supervisor.LONGEST_PAUSE_S = os.getpid(), 0.05, 0.05
folder = Path(sys.argv[2])
made = supervisor.Supervisor([sys.executable, "-c", sys.argv[1]], folder)
made.start()
while len(list(folder.glob("started-*"))) < 4:
    time.sleep(0.01)
made.stop()
made.wait()
children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
print([Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] for child in children].count("Z"))
"""
# A child that leaves a process which has ended.
LEAVING = """
import os, subprocess, sys
from pathlib import Path
left = subprocess.Popen(["true"])
os.waitid(os.P_PID, left.pid, os.WEXITED | os.WNOWAIT)
(Path(sys.argv[-1]) / f"started-{os.getpid()}").touch()
os._exit(0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "exit-on").write_bytes(b"d")
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


def started(folder: Path, count: int) -> list[int]:
    """Wait for `count` children; return their process ids."""
    until = time.monotonic() + LONG_S
    while len(found := [int(path.name.split("-")[1]) for path in folder.glob("started-*")]) < count:
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def test_a_notification_waits_for_the_childs_poll(folder: Path) -> None:
    with supervised(folder) as made:
        made.notify()
        assert (folder / "received").read_bytes() == b"n"
    assert (folder / "received").read_bytes() == b"nd"
    assert not made.gave_up


def test_a_killed_child_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.05)
    with supervised(folder) as made:
        (first,) = started(folder, 1)
        os.kill(first, signal.SIGKILL)
        started(folder, 2)
        made.notify()
        assert (folder / "received").read_bytes() == b"n"


def test_a_forked_first_child_is_replaced_by_a_new_interpreter(folder: Path) -> None:
    command = [sys.executable, "-c", PARENT, CHILD, str(folder)]
    output = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=True).stdout
    parent, _, kept = output.split("\n")[-2].partition(" ")
    assert (folder / "forked").read_text() == f"{parent} hush"
    assert kept == "False"
    assert (folder / "received").read_bytes() == b"nd"


def test_processes_that_children_leave_do_not_pile_up_in_a_container(folder: Path) -> None:
    command = [sys.executable, "-c", CONTAINER, LEAVING, str(folder)]
    output = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=True).stdout
    # Those of the last child, after which none is started.
    assert int(output.split("\n")[-2]) <= 2


def test_a_notification_returns_when_the_child_ends(folder: Path) -> None:
    script = CHILD.replace('connection.sendall(b".")', "os.kill(os.getpid(), 9)")
    with supervised(folder, script) as made:
        waiting = Thread(target=made.notify)
        waiting.start()
        waiting.join(LONG_S)
        assert not waiting.is_alive()


def test_the_second_stop_is_forced(folder: Path) -> None:
    (folder / "exit-on").write_bytes(b"h")
    with supervised(folder) as made:
        made.notify()
        made.stop()
        made.stop()
    assert (folder / "received").read_bytes() == b"ndh"


def test_a_stop_before_the_child_is_ready_is_not_lost(folder: Path) -> None:
    with supervised(folder) as made:
        made.stop(force=True)
        (folder / "exit-on").write_bytes(b"h")


def test_a_stop_while_the_child_is_started_reaches_it(folder: Path) -> None:
    (folder / "exit-on").write_bytes(b"h")
    script = CHILD.replace("while message", f"connection.settimeout({LONG_S})\nwhile message")
    made = Supervisor([sys.executable, "-c", script], folder)
    made._stops = 2
    assert made._run() == 0
    assert (folder / "received").read_bytes() == b"h"


def test_a_child_that_cannot_be_started_leaves_no_socket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = socket.socketpair()
    monkeypatch.setattr(socket, "socketpair", lambda: pair)
    assert Supervisor([str(folder / "missing")], folder)._run() is None
    assert [one.fileno() for one in pair] == [-1, -1]


def test_notifications_return_at_once_after_a_stop(folder: Path) -> None:
    with supervised(folder) as made:
        started(folder, 1)
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


def test_the_pause_doubles_after_each_child_that_ends_early(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def pause(_self: Supervisor, seconds: float) -> None:
        seen.append(seconds)
        if len(seen) == 7:
            made._stops = 1

    monkeypatch.setattr(Supervisor, "_pause", pause)
    made = Supervisor([sys.executable, "-S", "-c", "raise SystemExit(1)"], folder)
    made.start()
    made.wait()
    assert seen == [0.5, 1, 2, 4, 8, 10, 10]


def test_each_further_quarantine_lasts_longer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    liveness = LivenessFile(folder / "alive")

    def pause(self: Supervisor, seconds: float, step: Callable[[], None]) -> None:
        seen.append(seconds)
        step()
        if len(seen) == 3:
            self._stops = 1

    monkeypatch.setattr(Supervisor, "_pause", pause)
    told = f"open({str(folder / 'told')!r}, 'a').write(os.environ.get({AFTER_QUARANTINE!r}, '0'))"
    command = [sys.executable, "-S", "-c", f"import os; {told}; raise SystemExit({QUARANTINED})"]
    made = Supervisor(command, folder, liveness=liveness)
    made.start()
    made.wait()
    assert seen == [60, 120, 240]
    assert (folder / "told").read_text() == "011"
    assert (folder / "alive").read_text()


def test_each_child_gets_the_credentials_that_the_parent_removed(folder: Path) -> None:
    script = "import os, sys; raise SystemExit(0 if os.environ.get('DUBLINE_DATABASE_URL') == 'hush' else 1)"
    made = Supervisor([sys.executable, "-S", "-c", script], folder, {"DUBLINE_DATABASE_URL": "hush"})
    assert [made._run(), made._run()] == [0, 0]


def test_a_pause_makes_its_steps_until_it_is_over_or_a_stop_comes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, steps = 100.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 15:
            made.stop()

    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: now_s, sleep=sleep))
    made = Supervisor([], folder)
    made._pause(10.5 * STEP_S, step)
    assert (steps, now_s) == (11, pytest.approx(100 + 11 * STEP_S))
    made._pause(600.0, step)
    assert (steps, now_s) == (15, pytest.approx(100 + 15 * STEP_S))
