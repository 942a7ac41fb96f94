from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from dubline.worker.runtime.channel import FORCE_STOP, NOTIFY, POLLED, SHUT_DOWN, ParentChannel
from dubline.worker.runtime.shutdown import Shutdown, StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Longest wait; the awaited events come at once.
LONG_S = 30.0


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The parent's end and the child's end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def channel_to(theirs: socket.socket, shutdown: Shutdown) -> ParentChannel:
    """Make a channel that does not end this process when the socket is closed."""
    return ParentChannel(theirs, shutdown, give_up=lambda: None)


def test_a_notification_is_returned_once_and_acknowledged(sockets: tuple[socket.socket, socket.socket]) -> None:
    parent, child = sockets
    channel = channel_to(child, Shutdown())
    assert not channel.pop_notification()
    parent.sendall(NOTIFY)
    channel.wait(LONG_S)
    assert channel.pop_notification()
    assert not channel.pop_notification()
    channel.acknowledge()
    assert parent.recv(8) == POLLED


def test_each_message_ends_one_wait(sockets: tuple[socket.socket, socket.socket]) -> None:
    parent, child = sockets
    channel = channel_to(child, Shutdown())
    parent.sendall(NOTIFY)
    channel.wait(LONG_S)
    began_s = time.monotonic()
    channel.wait(0.05)
    assert time.monotonic() - began_s >= 0.05


@pytest.mark.parametrize(("message", "forced"), [(SHUT_DOWN, False), (FORCE_STOP, True)])
def test_a_stop_updates_the_shutdown_and_ends_the_wait(
    sockets: tuple[socket.socket, socket.socket], message: bytes, forced: bool
) -> None:
    (parent, child), shutdown = sockets, Shutdown()
    channel = channel_to(child, shutdown)
    parent.sendall(message)
    channel.wait(LONG_S)
    assert shutdown.requested
    if forced:
        with pytest.raises(StoppedError):
            shutdown.raise_if_forced()
    else:
        shutdown.raise_if_forced()


def test_a_child_ends_with_its_parent() -> None:
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
