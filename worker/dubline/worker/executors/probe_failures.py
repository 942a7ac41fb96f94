"""Failures in a row of a prober, and its self-test.

They are kept in its process: decoders run in processes of their own, so a failed probe does not end the prober. After a
quarantine the parent process tells the next child to test itself first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.orchestration.domain.errors import NoFaceError
from dubline.orchestration.domain.quarantine import FAILURES_IN_A_ROW, quarantine_s
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.settings import LimitSettings
from dubline.worker.media import specimen
from dubline.worker.media.probe import probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class ProbeFailures:
    """The counts of one prober, with the interface of the store's `Workers`.

    Args:
        doubtful: test the prober before its first claim.
    """

    def __init__(self, *, doubtful: bool) -> None:
        self._count = FAILURES_IN_A_ROW if doubtful else 0

    def read(self, worker: str) -> tuple[int, float]:  # noqa: ARG002 - the interface
        """Return the failures in a row, and no quarantine, because the process ends with its beginning."""
        return self._count, 0.0

    def failed(self, worker: str) -> int:  # noqa: ARG002 - the interface
        """Count a failed probe; return the failures in a row."""
        self._count += 1
        return self._count

    def begin_test(self, worker: str) -> None:
        """Record nothing: a self-test does not end the process."""

    def quarantine(self, worker: str) -> float:  # noqa: ARG002 - the interface
        """Return the seconds of the quarantine, which the parent process carries out."""
        return quarantine_s(FAILURES_IN_A_ROW)

    def succeeded(self, worker: str) -> None:  # noqa: ARG002 - the interface
        """Set the failures in a row to zero."""
        self._count = 0


def self_test(folder: Path, report: Callable[[], None]) -> None:
    """Probe the specimen.

    Raises:
        Exception: whatever the probe raises.
        RuntimeError: a face is found in the picture, which has none.
    """
    limits = LimitSettings()
    probe(specimen.speech(folder / "speech"), UploadKind.SPEECH, limits, report)
    try:
        probe(specimen.portrait(folder / "portrait"), UploadKind.PORTRAIT, limits, report)
    except NoFaceError:
        return
    raise RuntimeError("the prober finds a face in a grey square")
