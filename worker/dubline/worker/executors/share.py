"""Help with a long job of another worker: render segments of it until none is free or a job is due."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration import tracing
from dubline.orchestration.domain.errors import DatabaseUnavailableError, DublineError, LeaseLostError
from dubline.orchestration.domain.jobs import Cause, Stage
from dubline.orchestration.domain.quarantine import BLAMED
from dubline.orchestration.domain.retry import cause_of
from dubline.worker.rendering import inputs
from dubline.worker.rendering.shared_checkpoints import SharedCheckpoints, UnfitError
from dubline.worker.runtime import metrics
from dubline.worker.runtime.heartbeat import Heartbeat
from dubline.worker.runtime.progress import Progress
from dubline.worker.runtime.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.orchestration.domain.leases import Lease
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.job import Helper

_log = structlog.get_logger(__name__)

#: Why a share ended, in metrics, if it did not fail.
DONE: Final = "none"


@dataclass(slots=True, kw_only=True)
class ShareExecutor:
    """Renders one share. Its failures are no failures of the job, which its owner can finish alone."""

    helper: Helper
    """The rendering pipeline."""
    executor: RenderExecutor
    """The executor of this worker."""
    claim: Callable[[], Lease | None]
    """Claims the next job, if one is due."""
    _failed: bool = False

    def run_next(self) -> tuple[Lease | None, bool]:
        """Claim a share and render segments of it.

        Returns:
            The job that was claimed meanwhile, and whether there was a share that did not fail.

        Raises:
            DatabaseUnavailableError: no share could be claimed.
            DeviceFailedError: the end of the share is recorded, but this process can render nothing more.
        """
        mine = self.executor
        share = mine.store.shares.claim(
            mine.worker, mine.leases.duration_s, self.helper.version, pool=mine.pool, presets=mine.presets
        )
        if share is None:
            return None, False
        preset, job_id = share.options.preset, str(share.job_id)
        with (
            structlog.contextvars.bound_contextvars(job_id=job_id, attempt=share.attempt),
            tracing.span("share", share.traceparent, job_id=job_id, preset=preset, pool=mine.pool),
        ):
            _log.info("share_leased", preset=preset)
            due = self._execute(share)
        return due, not self._failed

    def _execute(self, share: Lease) -> Lease | None:
        mine = self.executor
        heartbeat = Heartbeat(lambda seconds: mine.store.shares.renew(share, seconds), mine.leases)

        def check(stage: Stage) -> None:
            stages.enter(stage)
            mine.check(heartbeat)
            if stage is Stage.PREPARING:
                mine.shutdown.raise_if_requested()

        stages = Stages(share.options.preset)
        progress = Progress(lambda _stage, _percent, gpu_s: mine.store.shares.progress(share, gpu_s), check)
        checkpoints = SharedCheckpoints(
            store=mine.store,
            objects=mine.objects,
            share=share,
            shutdown=mine.shutdown,
            report=progress.repeat,
            claim=self.claim,
        )

        def work(folder: Path) -> None:
            try:
                # The job may have ended, which is no failure.
                with suppress(LeaseLostError), heartbeat:
                    progress(Stage.PREPARING, 0.0)
                    job = inputs.fetch(mine.objects, share, folder, progress.repeat)
                    self.helper.help(job, folder, progress, checkpoints)
            finally:
                stages.enter(None)
            mine.record(lambda: self._end(share, None, progress.gpu_s), "share_ended")

        mine.attempt(
            work,
            release=lambda: self._end(share, Cause.SHUTDOWN, progress.gpu_s),
            settle=lambda error: self._settle(share, error, progress.gpu_s),
        )
        return checkpoints.due

    def _settle(self, share: Lease, error: Exception, gpu_s: float) -> None:
        """Record why a share failed, and count it against this worker if the fault can be its own."""
        self._failed = True
        if isinstance(error, UnfitError):
            cause = Cause.BAD_INPUT
        else:
            cause = cause_of(error) if isinstance(error, DublineError) else Cause.DEFECT
        _log.warning("share_failed", cause=cause.value, exc_info=error)
        if cause in BLAMED:
            with suppress(DatabaseUnavailableError):
                self.executor.health.failed()
        self.executor.record(lambda: self._end(share, cause, gpu_s), "share_settled")

    def _end(self, share: Lease, cause: Cause | None, gpu_s: float) -> None:
        with suppress(LeaseLostError):
            self.executor.store.shares.end(share, cause, gpu_s)
        metrics.share_ended(self.executor.pool, DONE if cause is None else cause.value, share.options.preset, gpu_s)
