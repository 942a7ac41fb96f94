from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dubline.worker.runtime.channel import FORCE_STOP, NOTIFY, POLLED, SHUT_DOWN, ParentChannel
from dubline.worker.runtime.shutdown import Shutdown, StoppedError

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


def listening(theirs: socket.socket, shutdown: Shutdown) -> ParentChannel:
    """One whose process outlives the end of the line."""
    return ParentChannel(theirs, shutdown, give_up=lambda: None)


def test_a_nudge_is_heard_once_and_answered(line: tuple[socket.socket, socket.socket]) -> None:
    parent, child = line
    channel = listening(child, Shutdown())
    assert not channel.take_notification()
    parent.sendall(NOTIFY)
    channel.wait(LONG_S)
    assert channel.take_notification()
    assert not channel.take_notification()
    channel.acknowledge()
    assert parent.recv(8) == POLLED


@pytest.mark.parametrize(("word", "hurried"), [(SHUT_DOWN, False), (FORCE_STOP, True)])
def test_stops_reach_the_drain_and_end_the_wait(
    line: tuple[socket.socket, socket.socket], word: bytes, hurried: bool
) -> None:
    (parent, child), shutdown = line, Shutdown()
    channel = listening(child, shutdown)
    parent.sendall(word)
    channel.wait(LONG_S)
    assert shutdown.requested
    if hurried:
        with pytest.raises(StoppedError):
            shutdown.raise_if_forced()
    else:
        shutdown.raise_if_forced()


def test_a_child_does_not_outlive_its_parent() -> None:
    ours, theirs = socket.socketpair()
    script = (
        "import socket, sys, threading\n"
        "from dubline.worker.runtime.shutdown import Shutdown\n"
        "from dubline.worker.runtime.channel import ParentChannel\n"
        "ParentChannel(socket.socket(fileno=int(sys.argv[1])), Shutdown())\n"
        "threading.Event().wait()\n"
    )
    command = [sys.executable, "-c", script, str(theirs.fileno())]
    with theirs:
        child = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    ours.close()
    assert child.wait(LONG_S) == -signal.SIGKILL
