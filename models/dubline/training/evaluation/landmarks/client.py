"""Client of the landmark process, which measures videos while the next ones are being rendered."""

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
#: Number of landmarks of a face.
LANDMARKS: Final = 68


@dataclass(frozen=True)
class FaceMeasurements:
    """Measurements of one video."""

    opening: NDArray[np.float64]
    """(T,), NaN where no face is found."""
    between: NDArray[np.float64]
    """(T,), brightness between the lips over the face's; NaN where the lips are not parted."""
    eyes: NDArray[np.float64]
    """(T,), gap between the lids over the width of the eye; NaN where no face is found."""
    identity: NDArray[np.float64]
    """Cosines of some frames' face embeddings with the source's; NaN where no face is found."""
    person: NDArray[np.float64] | None
    """The source's embedding (128,); None if not requested or not found."""
    points: NDArray[np.float64] | None = None
    """(T, 68, 2) in [-1, 1], NaN where no face is found; None if not requested."""

    @property
    def found_share(self) -> float:
        """Share of frames in which a face is found."""
        return float(np.isfinite(self.opening).mean()) if len(self.opening) else float("nan")


class LandmarkClient:
    """Submits videos at once and collects all responses at the end. `failure` is the reason if responses are missing.

    Args:
        folder: for responses and log.
        console: for progress messages.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self.responses, self.log = folder / "faces.jsonl", folder / "faces.log"
        self.responses.unlink(missing_ok=True)
        self.submitted: list[Path] = []
        self.failure = ""
        self.process: subprocess.Popen[str] | None = None
        try:
            self._start(environment.interpreter(console))
        except (environment.LandmarkEnvironmentError, OSError) as error:
            self.failure = str(error)

    def _start(self, interpreter: Path) -> None:
        quiet = {**os.environ, "GLOG_minloglevel": "3", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ""}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(interpreter), str(READER), str(self.responses)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                env=quiet,
            )

    def submit(self, video: Path, source: Path | None = None, every: int = 10, *, points: bool = False) -> None:
        """Submit a video or a picture.

        Args:
            video: its path.
            source: a picture of the person: identity is measured.
            every: interval of frames for identity.
            points: whether the landmarks are wanted.
        """
        if self.process is None or self.process.stdin is None or self.failure:
            return
        request = {"video": str(video), "source": str(source) if source else None, "every": every, "points": points}
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            self.submitted.append(video)
        except OSError:
            self.failure = self._failed()

    def finish(self, report: Callable[[int, int], None]) -> dict[Path, FaceMeasurements]:
        """Wait for all responses, reporting (done, total); return the measurements by video."""
        if self.process is not None:
            if self.process.stdin is not None and not self.failure:
                self.process.stdin.close()
            while self.process.poll() is None:
                report(len(self._lines()), len(self.submitted))
                time.sleep(POLL_S)
            if self.process.returncode:
                self.failure = self._failed()
        return {Path(response["video"]): _measurements(response) for response in map(json.loads, self._lines())}

    def _lines(self) -> list[str]:
        """Return the complete response lines so far; the last line may be incomplete."""
        text = self.responses.read_text() if self.responses.exists() else ""
        return text.split("\n")[:-1]

    def _failed(self) -> str:
        last = [line for line in self.log.read_text().splitlines() if line.strip()][-1:]
        return f"the landmark process ended early: {' '.join(last) or 'no output'} (see {self.log})"


def _measurements(response: dict[str, Any]) -> FaceMeasurements:
    return FaceMeasurements(
        np.array(response["opening"], np.float64),
        np.array(response["between"], np.float64),
        np.array(response["eyes"], np.float64),
        np.array([cosine for _, cosine in response["identity"]], np.float64),
        np.array(response["person"]) if response["person"] else None,
        _points(response["points"]),
    )


def _points(rows: list[list[list[float]] | None]) -> NDArray[np.float64] | None:
    blank = np.full((LANDMARKS, 2), np.nan)
    return np.array([blank if row is None else row for row in rows], np.float64) if rows else None
