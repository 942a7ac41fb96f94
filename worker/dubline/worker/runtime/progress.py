"""The progress of an attempt: rate-limited writes to the database and the seconds on the device."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.domain.jobs import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger(__name__)

#: Shortest time between two writes of one stage. A write for a cancelled job is refused, so this is also how soon its
#: worker stops.
PERIOD_S: Final = 1.0
ON_DEVICE: Final = frozenset({Stage.SAMPLING, Stage.RENDERING})


class Progress:
    """Writes every change of stage, and the percent at most once per `PERIOD_S`. Several threads may report.

    Args:
        write: stores a stage, a percent and the seconds on the device; raises LeaseLostError if the lease is lost.
        check: called at every report with its stage; raises to stop the attempt.
        clock: monotonic seconds.
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
        self._counted_at = clock()
        self._gpu_s = 0.0
        self._lock = Lock()

    def __call__(self, stage: Stage, percent: float) -> None:
        """Report progress; the pipeline calls this at every step.

        Raises:
            LeaseLostError: the lease is lost.
            StoppedError: the worker stops.
        """
        with self._lock:
            self._report(stage, percent)

    def repeat(self) -> None:
        """Report the last stage and percent again. Raises as a report does."""
        with self._lock:
            if self._stage is not None:
                self._report(self._stage, self._percent)

    @property
    def gpu_s(self) -> float:
        """Seconds in the stages on the device, up to now."""
        with self._lock:
            self._count()
            return self._gpu_s

    def _report(self, stage: Stage, percent: float) -> None:
        new = stage is not self._stage
        now = self._count()
        self._stage, self._percent = stage, percent
        self._check(stage)
        if not new and now - self._written_at < PERIOD_S:
            return
        self._written_at = now
        try:
            self._write(stage, percent, self._gpu_s)
        except DatabaseUnavailableError as error:
            # The next report may succeed; a missing percent must not fail the attempt.
            _log.warning("progress_not_written", stage=stage.value, code=error.code, reason=repr(error.__cause__))

    def _count(self) -> float:
        """Add the time since the last call to the device time if the current stage is on it; return the time."""
        now = self._clock()
        if self._stage in ON_DEVICE:
            self._gpu_s += now - self._counted_at
        self._counted_at = now
        return now
