"""Executes one render: claim, make the video, store it under the attempt's key, publish it, or say why not.

Knows rows, bucket and pipeline, and no Celery. The only place of the render worker that catches every
exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.errors import DeviceFailedError, DublineError, LeaseLostError
from dubline.orchestration.domain.jobs import Cause, Stage
from dubline.orchestration.domain.retry import RESET_ON_PROGRESS, Fail, decide
from dubline.worker.executors import error_translation
from dubline.worker.rendering import inputs
from dubline.worker.rendering.job import MUXED_PERCENT, Rendered, Renderer
from dubline.worker.rendering.stored_checkpoints import StoredCheckpoints
from dubline.worker.runtime import scratch
from dubline.worker.runtime.heartbeat import Heartbeat
from dubline.worker.runtime.progress import Progress
from dubline.worker.runtime.retry_write import retry_write
from dubline.worker.runtime.shutdown import Shutdown, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease
    from dubline.orchestration.storage.objects import Objects
    from dubline.worker.runtime.liveness import LivenessFile
    from dubline.worker.settings import LeaseSettings

_log = structlog.get_logger(__name__)

#: In these nothing is half made that would be worth the wait of whoever stops this worker.
LEFT_AT_ONCE: Final = frozenset({Stage.PREPARING, Stage.SAMPLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderExecutor:
    """Renders what the store says is next."""

    store: Store
    """The rows."""
    objects: Objects
    """The bucket."""
    renderer: Renderer
    """The networks and the pipeline around them."""
    leases: LeaseSettings
    """How long a lease lasts and how often it is renewed."""
    folder: Path
    """The worker's scratch folder."""
    worker: str
    """Name of this worker, for people."""
    shutdown: Shutdown
    """Whether this worker is to stop."""
    liveness: LivenessFile
    """Beats with every report."""

    def run_next(self) -> bool:
        """Claim the best queued job and runs one attempt at it.

        Returns:
            Whether there was one.

        Raises:
            DatabaseUnavailableError: nothing could be claimed.
            DeviceFailedError: the attempt is settled, but this process can render nothing more.
        """
        lease = self.store.leases.claim(self.worker, self.leases.duration_s)
        if lease is None:
            _log.debug("nothing_to_render")
            return False
        with structlog.contextvars.bound_contextvars(job_id=str(lease.job_id), attempt=lease.attempt):
            _log.info("job_leased", preset=lease.options.preset)
            self._attempt(lease)
        return True

    def _attempt(self, lease: Lease) -> None:
        heartbeat = Heartbeat(lambda seconds: self.store.leases.renew(lease, seconds), self.leases)

        def check(stage: Stage) -> None:
            self.liveness.touch()
            heartbeat.check()
            if stage in LEFT_AT_ONCE:
                self.shutdown.raise_if_requested()
            else:
                self.shutdown.raise_if_forced()

        progress = Progress(lambda *reached: self.store.leases.progress(lease, *reached), check)
        kept = StoredCheckpoints(
            store=self.store, objects=self.objects, lease=lease, shutdown=self.shutdown, report=progress.repeat
        )
        try:
            with scratch.attempt(self.folder) as folder:
                # No beat after the last write: a finished job has no lease to renew.
                with heartbeat:
                    made = self._produce(lease, folder, progress, kept)
                self._finish(lease, *made, progress.gpu_s)
        except LeaseLostError:
            _log.warning("attempt_abandoned")
        except StoppedError:
            self._record(lambda: self.store.leases.release(lease, progress.gpu_s), "job_released")
        except Exception as error:
            charged = {
                cause: n
                for cause, n in lease.charged.items()
                if not (kept.made_progress and cause in RESET_ON_PROGRESS)
            }
            self._settle(lease, error_translation.translate(error), charged, progress.gpu_s)
            if isinstance(error, DeviceFailedError):
                raise

    def _produce(self, lease: Lease, folder: Path, progress: Progress, kept: StoredCheckpoints) -> tuple[Rendered, int]:
        progress(Stage.PREPARING, 0.0)
        job = inputs.fetch(self.objects, lease, folder, progress.repeat)
        rendered = self.renderer.run(job, folder, progress, kept)
        progress(Stage.STORING, MUXED_PERCENT)
        return rendered, self.objects.put(rendered.path, lease.result_key, "video/mp4", progress.repeat)

    def _finish(self, lease: Lease, rendered: Rendered, size_bytes: int, gpu_s: float) -> None:
        retry_write(
            lambda: self.store.leases.finish(lease, lease.result_key, size_bytes, rendered.duration_s, gpu_s),
            self.leases.duration_s,
        )
        _log.info("job_succeeded", size_bytes=size_bytes, duration_s=rendered.duration_s, gpu_s=round(gpu_s, 3))

    def _settle(self, lease: Lease, error: Exception, charged: Mapping[Cause, int], gpu_s: float) -> None:
        """Write down what a failed attempt means for its job."""
        decision = decide(error, charged)
        if isinstance(error, DublineError):
            _log.warning("attempt_failed", code=error.code, detail=error.detail)
        else:
            _log.error("attempt_broke", exc_info=error)
        cause, code, detail = decision.cause, decision.code, decision.detail

        def settle() -> None:
            if isinstance(decision, Fail):
                self.store.leases.fail(lease, cause, code, detail, gpu_s)
            else:
                self.store.leases.retry(lease, cause, code, detail, decision.delay_s, gpu_s)

        self._record(settle, "attempt_settled")

    def _record(self, write: Callable[[], object], event: str) -> None:
        try:
            retry_write(write, self.leases.duration_s)
        except DublineError as unwritten:
            # The lease runs out by itself, and the rescuer takes over.
            _log.warning("attempt_not_settled", code=unwritten.code)
        else:
            _log.info(event)
