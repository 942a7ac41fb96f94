"""Virtual environment of the landmark process, created on first use because MediaPipe needs numpy < 2."""

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
#: Environment variable with the path of an existing environment, for machines without package installation.
VARIABLE: Final = "DUBLINE_LANDMARKS"
INSTALL_TIMEOUT_S: Final = 1200.0


class LandmarkEnvironmentError(Exception):
    """The landmark environment is not available; the message explains the remedy."""


def interpreter(console: Console) -> Path:
    """Return the interpreter of the landmark environment.

    Raises:
        LandmarkEnvironmentError: it does not exist and cannot be created.
    """
    named = os.environ.get(VARIABLE)
    if named:
        python = Path(named) / "bin" / "python"
        if not python.exists():
            raise LandmarkEnvironmentError(f"{VARIABLE} is {named}, which has no bin/python")
        return python
    beside = Path(sys.prefix).parent if sys.prefix != sys.base_prefix else Path.cwd()
    folder = beside / ".venv-landmarks"
    ready = folder / ".ready"
    if not ready.exists() or ready.read_text().split("\n") != list(REQUIREMENTS):
        console.print(f"Creating {folder} for MediaPipe (once, 1.2 GB on disk) ...")
        _create(folder)
        ready.write_text("\n".join(REQUIREMENTS))
    return folder / "bin" / "python"


def _create(folder: Path) -> None:
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*install, *REQUIREMENTS]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LandmarkEnvironmentError(f"{folder} could not be created: {error}") from error
        if done.returncode:
            last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
            raise LandmarkEnvironmentError(
                f"{folder} could not be created ({' '.join(last) or 'no reason given'}). "
                f"Install {' '.join(REQUIREMENTS)} into an environment of Python 3.9 to 3.12 and set {VARIABLE} to it."
            )
