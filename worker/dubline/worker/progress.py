"""Writes how far an attempt is, seldom enough not to matter to the database."""

import time
from collections.abc import Callable

import structlog

from dubline.orchestration.errors import DatabaseUnavailableError
from dubline.orchestration.jobs import Stage

log = structlog.get_logger(__name__)

PERIOD_S = 1.0


class Progress:
    """Passes on every new stage, and percents at most once per `PERIOD_S`.

    Args:
        write: stores a stage and a percent; raises LeaseLostError when the job was taken away.
        check: raises LeaseLostError when the heartbeat knows that it was.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        write: Callable[[Stage, float], None],
        check: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._check = check
        self._clock = clock
        self._stage: Stage | None = None
        self._written_at = 0.0

    def __call__(self, stage: Stage, percent: float) -> None:
        """Reports; the pipeline calls this at every step.

        Raises:
            LeaseLostError: stop working.
        """
        self._check()
        now = self._clock()
        if stage is self._stage and now - self._written_at < PERIOD_S:
            return
        self._stage, self._written_at = stage, now
        try:
            self._write(stage, percent)
        except DatabaseUnavailableError:
            # The next report may get through; a job is not lost for a percent.
            log.warning("progress_not_written", stage=stage.value)
