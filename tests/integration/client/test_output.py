"""The command line while its output cannot be written, and while it is loaded."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from dubline.client.exit_codes import UNREAD, USAGE_ERROR

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND: Final = (sys.executable, "-m", "dubline.client")
SIMULATE: Final = "dubline.orchestration.scaling.simulate"
#: Every write to it fails as on a full disk.
FULL: Final = Path("/dev/full")
#: Ends as by Ctrl-C when the first package of the command line is imported.
INTERRUPT: Final = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from dubline.client.__main__ import main
main()
"""


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["submit", "--help"]])
def test_a_full_disk_behind_the_output_is_one_sentence(words: Sequence[str]) -> None:
    with FULL.open("w") as full:
        done = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == USAGE_ERROR
    assert done.stderr == "dubline: Cannot write the output: No space left on device.\n"


@pytest.mark.parametrize("words", [["dubline.client", "--help"], [SIMULATE, "--seeds", "1", "--trace", "TRACE"]])
def test_a_reader_that_closes_the_output_ends_a_command_quietly(words: Sequence[str], tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival,device_s,preset\n" + "".join(f"{at},1,tiny\n" for at in range(20)))
    words = [str(trace) if word == "TRACE" else word for word in words]
    done = subprocess.run(
        [sys.executable, "-m", *words], stdout=_unread(), stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (UNREAD, "")


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_command_without_an_output_has_its_exit_code(closed: str) -> None:
    command = shlex.join([*COMMAND, "status", ""]) + f" {closed}>&-"
    assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == USAGE_ERROR


def _unread() -> int:
    """Return the end of a pipe to which nothing can be written, because its reader has closed it."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_an_interrupt_while_the_command_is_loaded_prints_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "")


def test_the_names_of_the_client_are_imported_when_they_are_used() -> None:
    check = "import dubline.client as c; [getattr(c, name) for name in c.__all__]; assert not hasattr(c, 'nothing')"
    subprocess.run([sys.executable, "-c", check], check=True)
