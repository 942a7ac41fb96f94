"""The memory that a script takes in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

#: Defines the most memory that the process has used so far, in bytes.
_PEAK: Final = f"""
import resource, sys
def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * {1 if sys.platform == "darwin" else 1024}
"""
#: The peak of a process begins with that of the one which started it: a small one, and not that of the tests.
_SMALL: Final = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', *sys.argv[1:]]).returncode)"


def printed(script: str, *arguments: Path) -> list[int]:
    """Run a script that prints numbers, which may call `peak_bytes`; return what it prints."""
    command = [sys.executable, "-c", _SMALL, _PEAK + script, *arguments]
    return [int(number) for number in subprocess.run(command, capture_output=True, check=True).stdout.split()]
