"""The two sides of a comparison: this checkout, and another commit in a temporary folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("api", "models", "orchestration", "worker")


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Check out a commit of this repository in a temporary folder, and remove it at the end.

    Raises:
        SystemExit: this is no checkout of git, or it has no such commit.
    """
    with tempfile.TemporaryDirectory(prefix="dubline-baseline-") as parent:
        folder = Path(parent).resolve() / "checkout"
        made = _git("worktree", "add", "--detach", str(folder), commit)
        if made.returncode != 0:
            raise SystemExit(f"{commit} cannot be checked out: {made.stderr.strip()}. Name a commit with --baseline.")
        try:
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def revision(folder: Path = ROOT) -> str:
    """Return the short name of the commit of a checkout; empty if it is none."""
    return _git("-C", str(folder), "describe", "--always", "--dirty").stdout.strip()


class Side:
    """A process that renders jobs with the packages of one checkout, in this interpreter's environment.

    Args:
        rooms: folder of the checkout.
        processors: those that it may use, at most.
        on: its device.
    """

    def __init__(self, rooms: Path = ROOT, processors: int = 1024, on: str = "cpu") -> None:
        path = os.pathsep.join(str(rooms / room) for room in ROOMS)
        environ = os.environ | {"PYTHONPATH": path}
        command = [sys.executable, "-m", "benchmarks.speed.child", str(rooms), "--device", on]
        command += ["--processors", str(processors)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def render(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Render a job; return its costs.

        Raises:
            RuntimeError: the process ended. Its error is on standard error.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self._process.stdin.write(json.dumps(dict(job)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {job.get('name', 'a job')} ended with exit code {self._process.wait()}")
        costs: dict[str, Any] = json.loads(line)
        return costs


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
