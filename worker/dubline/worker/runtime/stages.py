"""The time that attempts spend in each stage, as metric and as spans."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dubline.orchestration import tracing
from dubline.worker.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.domain.jobs import Stage


class Stages:
    """Counts the seconds of one attempt by stage.

    Args:
        preset: of the job.
        clock: monotonic seconds.
    """

    def __init__(self, preset: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._preset = preset
        self._clock = clock
        self._stage: Stage | None = None
        self._counted_at_s = clock()
        self._entered_ns = 0

    def enter(self, stage: Stage | None) -> None:
        """Count the time since the last call for the stage before; call it at every step.

        Args:
            stage: the stage from now on; None: the attempt has ended.
        """
        now_s = self._clock()
        if self._stage is not None:
            metrics.STAGES.labels(self._stage.value, self._preset).inc(now_s - self._counted_at_s)
        if stage is not self._stage:
            ended_ns = time.time_ns()
            if self._stage is not None:
                tracing.record(self._stage.value, None, self._entered_ns, ended_ns)
            self._entered_ns = ended_ns
        self._stage, self._counted_at_s = stage, now_s
