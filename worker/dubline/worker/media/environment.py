"""What child processes that touch hostile files are told of their surroundings: no secret, no address."""

from __future__ import annotations

import os
from typing import Final

#: How to find programs, modules and scratch space, and how to write and count; nothing that opens a door.
PASSED_ON: Final = (
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
    "PATH",
    "PYTHONPATH",
    "TMPDIR",
)


def bare() -> dict[str, str]:
    """The few variables of this process that a decoder or encoder may see."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}
