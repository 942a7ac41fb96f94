"""Servers of the tests end with the process that started them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.embedded.processes import eventually, running_in

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal, subprocess, sys
from dubline.embedded.cleanup import CleanupProcess
from tests.servers import served

cleanup = CleanupProcess()
with served(["sleep", "3600"], signal.SIGTERM, cleanup, cwd=sys.argv[1], stdout=subprocess.DEVNULL) as process:
    print(os.readlink(f"/proc/{process.pid}/cwd") if sys.platform == "linux" else sys.argv[1], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_ends_after_a_kill_of_the_process_of_the_tests(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (-9, f"{tmp_path}\n")
    eventually(lambda: not running_in(tmp_path))
