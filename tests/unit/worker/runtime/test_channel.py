from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dubline.worker.runtime.channel import DRAIN, HURRY, LOOKED, NUDGE, Upstream
from dubline.worker.runtime.shutdown import Drain, StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Long enough for any machine; what is waited for comes at once.
LONG_S = 30.0


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The parent's end and the child's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def listening(theirs: socket.socket, drain: Drain) -> Upstream:
    """One whose process outlives the end of the line."""
    return Upstream(theirs, drain, give_up=lambda: None)


def test_a_nudge_is_heard_once_and_answered(line: tuple[socket.socket, socket.socket]) -> None:
    parent, child = line
    upstream = listening(child, Drain())
    assert not upstream.take_nudge()
    parent.sendall(NUDGE)
    upstream.wait(LONG_S)
    assert upstream.take_nudge()
    assert not upstream.take_nudge()
    upstream.answer()
    assert parent.recv(8) == LOOKED


@pytest.mark.parametrize(("word", "hurried"), [(DRAIN, False), (HURRY, True)])
def test_stops_reach_the_drain_and_end_the_wait(
    line: tuple[socket.socket, socket.socket], word: bytes, hurried: bool
) -> None:
    (parent, child), drain = line, Drain()
    upstream = listening(child, drain)
    parent.sendall(word)
    upstream.wait(LONG_S)
    assert drain.asked
    if hurried:
        with pytest.raises(StoppedError):
            drain.check()
    else:
        drain.check()


def test_a_child_does_not_outlive_its_parent() -> None:
    ours, theirs = socket.socketpair()
    script = (
        "import socket, sys, threading\n"
        "from dubline.worker.runtime.shutdown import Drain\n"
        "from dubline.worker.runtime.channel import Upstream\n"
        "Upstream(socket.socket(fileno=int(sys.argv[1])), Drain())\n"
        "threading.Event().wait()\n"
    )
    command = [sys.executable, "-c", script, str(theirs.fileno())]
    with theirs:
        child = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    ours.close()
    assert child.wait(LONG_S) == -signal.SIGKILL
