"""Has faces read off videos in a process beside this one, while the next videos are still being rendered."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dubline.training.evaluation.landmarks import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from rich.console import Console

READER: Final = Path(__file__).with_name("face_reader.py")
POLL_S: Final = 0.3


@dataclass(frozen=True)
class Reading:
    """What was read off one video.

    opening: (T,), NaN where no face is found. identity: cosines of some frames' faces with the source's, NaN where
    none was found. person: the source's embedding (128,), None when not asked for or not found.
    """

    opening: NDArray[np.float64]
    identity: NDArray[np.float64]
    person: NDArray[np.float64] | None

    @property
    def faces(self) -> float:
        """Share of frames in which a face is found."""
        return float(np.isfinite(self.opening).mean()) if len(self.opening) else float("nan")


class LandmarkClient:
    """Takes questions at once and answers them all at the end. `trouble` says why answers are missing, if any are."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.answers, self.log = folder / "faces.jsonl", folder / "faces.log"
        self.answers.unlink(missing_ok=True)
        self.asked: list[Path] = []
        self.trouble = ""
        self.process: subprocess.Popen[str] | None = None
        try:
            self._start(environment.python(console))
        except (environment.LandmarkEnvironmentError, OSError) as error:
            self.trouble = str(error)

    def _start(self, interpreter: Path) -> None:
        quiet = {**os.environ, "GLOG_minloglevel": "3", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ""}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(interpreter), str(READER), str(self.answers)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                env=quiet,
            )

    def ask(self, video: Path, source: Path | None = None, every: int = 10) -> None:
        """Have a video read; with a source, the person too in each `every`-th frame."""
        if self.process is None or self.process.stdin is None or self.trouble:
            return
        question = {"video": str(video), "source": str(source) if source else None, "every": every}
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            self.asked.append(video)
        except OSError:
            self.trouble = self._last_words()

    def finish(self, report: Callable[[int, int], None]) -> dict[Path, Reading]:
        """Wait for all answers, telling `report` how many of how many are there; what was read of each video."""
        if self.process is not None:
            if self.process.stdin is not None and not self.trouble:
                self.process.stdin.close()
            while self.process.poll() is None:
                report(len(self._lines()), len(self.asked))
                time.sleep(POLL_S)
            if self.process.returncode:
                self.trouble = self._last_words()
        return {Path(answer["video"]): _reading(answer) for answer in map(json.loads, self._lines())}

    def _lines(self) -> list[str]:
        """Answer so far; the last line may still be on its way."""
        text = self.answers.read_text() if self.answers.exists() else ""
        return text.split("\n")[:-1]

    def _last_words(self) -> str:
        words = [line for line in self.log.read_text().splitlines() if line.strip()][-1:]
        return f"reading faces ended early: {' '.join(words) or 'it said nothing'} (see {self.log})"


def _reading(answer: dict[str, Any]) -> Reading:
    return Reading(
        np.array(answer["opening"], np.float64),
        np.array([cosine for _, cosine in answer["identity"]], np.float64),
        np.array(answer["person"]) if answer["person"] else None,
    )
