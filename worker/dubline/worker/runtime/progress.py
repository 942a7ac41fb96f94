"""Writes how far an attempt is, seldom enough not to matter to the database, and how long it held the device."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.domain.jobs import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger(__name__)

#: A job that was cancelled is refused its next write, so this is how soon its worker hears of it.
PERIOD_S: Final = 1.0
ON_DEVICE: Final = frozenset({Stage.SAMPLING, Stage.RENDERING})


class Progress:
    """Passes on every new stage, and percents at most once per `PERIOD_S`.

    Args:
        write: stores a stage, a percent and the seconds on the device; raises LeaseLostError when the job was
            taken away.
        check: asked at every report whether the work may go on in this stage; raises when not.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        write: Callable[[Stage, float, float], None],
        check: Callable[[Stage], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._check = check
        self._clock = clock
        self._stage: Stage | None = None
        self._percent = 0.0
        self._written_at = 0.0
        self._since = clock()
        self._gpu_s = 0.0

    def __call__(self, stage: Stage, percent: float) -> None:
        """Report; the pipeline calls this at every step.

        Raises:
            LeaseLostError: stop working.
            StoppedError: the same, because this worker stops.
        """
        new = stage is not self._stage
        now = self._count()
        self._stage, self._percent = stage, percent
        self._check(stage)
        if not new and now - self._written_at < PERIOD_S:
            return
        self._written_at = now
        try:
            self._write(stage, percent, self._gpu_s)
        except DatabaseUnavailableError:
            # The next report may get through; a job is not lost for a percent.
            _log.warning("progress_not_written", stage=stage.value)

    def again(self) -> None:
        """Report that the step that was reported last still goes on. Raises as a report does."""
        if self._stage is not None:
            self(self._stage, self._percent)

    @property
    def gpu_s(self) -> float:
        """Seconds from the first report of sampling to the last of rendering, or until now."""
        self._count()
        return self._gpu_s

    def _count(self) -> float:
        """Add the time since the last look to the stage that was running; returns the time."""
        now = self._clock()
        if self._stage in ON_DEVICE:
            self._gpu_s += now - self._since
        self._since = now
        return now
