"""Processes of this machine: descendants, age, and kills of processes that have ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from benchmarks.chaos.testbed.processes import age_s, children_of, kill_process

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHIN_S = 60.0
# A parent that starts its child in a thread, as a worker does.
PARENT = """
import subprocess, sys, threading
def work():
    subprocess.run([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"])
threading.Thread(target=work).start()
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        yield process
        for pid in children_of(process.pid):
            kill_process(pid)
        process.kill()


def test_a_child_started_by_a_thread_is_found(parent: subprocess.Popen[bytes]) -> None:
    (child,) = children_of(parent.pid)
    assert child in children_of(os.getpid())
    assert 0 < age_s(child) < 600


def test_an_ended_process_has_no_age_and_cannot_be_killed(parent: subprocess.Popen[bytes]) -> None:
    (child,) = children_of(parent.pid)
    assert kill_process(child)
    assert not kill_process(child)
    assert age_s(child) == 0.0
    deadline = time.monotonic() + WITHIN_S
    while parent.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert parent.returncode == 0
