"""The environment of child processes that read untrusted files: no credentials and no addresses."""

from __future__ import annotations

import os
from typing import Final

#: Variables for finding programs, modules and scratch space, for the locale and for thread counts.
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


def minimal() -> dict[str, str]:
    """Return the variables of this process that a decoder or encoder may read."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}
