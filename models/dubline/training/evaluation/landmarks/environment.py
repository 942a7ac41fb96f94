"""The environment in which faces are read: made on first use beside the project's own, because it needs numpy < 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

REQUIREMENTS: Final = (
    "mediapipe==0.10.21",  # the last release with its models in the wheel
    "av>=15,<19",  # decodes the videos
    "dlib-bin>=19.24,<21",  # finds and embeds faces
    "face-recognition-models==0.3.0",  # dlib's embedding network
)
#: Names a ready environment with the requirements, for machines that cannot install any.
VARIABLE: Final = "DUBLINE_LANDMARKS"
INSTALL_TIMEOUT_S: Final = 1200.0


class LandmarkEnvironmentError(Exception):
    """Faces cannot be read; the message says why and what to do."""


def python(console: Console) -> Path:
    """The interpreter that reads faces.

    Raises:
        BenchError: it is not there and cannot be made.
    """
    named = os.environ.get(VARIABLE)
    if named:
        interpreter = Path(named) / "bin" / "python"
        if not interpreter.exists():
            raise LandmarkEnvironmentError(f"{VARIABLE} names {named}, but there is no bin/python in it")
        return interpreter
    beside = Path(sys.prefix).parent if sys.prefix != sys.base_prefix else Path.cwd()
    folder = beside / ".venv-landmarks"
    ready = folder / ".ready"
    if not ready.exists() or ready.read_text().split("\n") != list(REQUIREMENTS):
        console.print(f"Making {folder} for MediaPipe, once: 1.2 GB on disk ...")
        _make(folder)
        ready.write_text("\n".join(REQUIREMENTS))
    return folder / "bin" / "python"


def _make(folder: Path) -> None:
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*install, *REQUIREMENTS]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LandmarkEnvironmentError(f"{folder} could not be made: {error}") from error
        if done.returncode:
            last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
            raise LandmarkEnvironmentError(
                f"{folder} could not be made ({' '.join(last) or 'no reason given'}). "
                f"Install {' '.join(REQUIREMENTS)} into an environment of Python 3.9 to 3.12 and name it in {VARIABLE}."
            )
