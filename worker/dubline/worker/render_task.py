"""Executes one render: claim, make the video, store it under the attempt's key, publish it, or say why not.

Knows rows, bucket and pipeline, and no Celery. The only place of the render worker that catches every
exception.
"""

from dataclasses import dataclass
from pathlib import Path

import structlog

from dubline.orchestration.errors import DublineError, LeaseLostError
from dubline.orchestration.jobs import Lease, Stage
from dubline.orchestration.objects import Objects
from dubline.orchestration.retry import Fail, decide
from dubline.orchestration.settings import LeaseSettings
from dubline.orchestration.store import Store
from dubline.worker import inputs, scratch
from dubline.worker.heartbeat import Heartbeat
from dubline.worker.pipeline import MUXED_PERCENT, Rendered, Renderer
from dubline.worker.progress import Progress

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderExecutor:
    """Renders what the store says is next.

    Attributes:
        store: the rows.
        objects: the bucket.
        renderer: the networks and the pipeline around them.
        leases: how long a lease lasts and how often it is renewed.
        folder: the worker's scratch folder.
        worker: name of this worker, for people.
    """

    store: Store
    objects: Objects
    renderer: Renderer
    leases: LeaseSettings
    folder: Path
    worker: str

    def run_next(self) -> bool:
        """Claims the best queued job and runs one attempt at it.

        Returns:
            Whether there was one.
        """
        lease = self.store.leases.claim(self.worker, self.leases.duration_s)
        if lease is None:
            log.debug("nothing_to_render")
            return False
        with structlog.contextvars.bound_contextvars(job_id=str(lease.job_id), attempt=lease.attempt):
            log.info("job_leased", preset=lease.preset)
            try:
                self._attempt(lease)
            except LeaseLostError:
                log.warning("attempt_abandoned")
            except (KeyboardInterrupt, SystemExit):
                self.store.leases.release(lease)
                log.info("job_released")
                raise
            except Exception as error:  # noqa: BLE001 - the executor answers for everything below it
                self._settle(lease, error)
        return True

    def _attempt(self, lease: Lease) -> None:
        with scratch.attempt(self.folder) as folder:
            # No beat after the last write: a finished job has no lease to renew.
            with Heartbeat(lambda seconds: self.store.leases.renew(lease, seconds), self.leases) as heartbeat:
                progress = Progress(
                    lambda stage, percent: self.store.leases.progress(lease, stage, percent), heartbeat.check
                )
                rendered, size_bytes = self._produce(lease, folder, progress)
            self.store.leases.finish(lease, lease.result_key, size_bytes, rendered.duration_s, rendered.weights_sha256)
        log.info("job_succeeded", size_bytes=size_bytes, duration_s=rendered.duration_s)

    def _produce(self, lease: Lease, folder: Path, progress: Progress) -> tuple[Rendered, int]:
        progress(Stage.PREPARING, 0.0)
        job = inputs.fetch(self.objects, lease, folder)
        rendered = self.renderer.run(job, folder, progress)
        progress(Stage.STORING, MUXED_PERCENT)
        return rendered, self.objects.put(rendered.path, lease.result_key, "video/mp4")

    def _settle(self, lease: Lease, error: Exception) -> None:
        """Writes down what a failed attempt means for its job."""
        decision = decide(error, lease.charged)
        if isinstance(error, DublineError):
            log.warning("attempt_failed", code=error.code, detail=error.detail)
        else:
            log.error("attempt_broke", exc_info=error)
        try:
            if isinstance(decision, Fail):
                self.store.leases.fail(lease, decision.cause, decision.code, decision.detail)
            else:
                self.store.leases.retry(lease, decision.cause, decision.code, decision.detail, decision.delay_s)
        except DublineError as unwritten:
            # The lease runs out by itself, and the rescuer takes over.
            log.warning("attempt_not_settled", code=unwritten.code)
