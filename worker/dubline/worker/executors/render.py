"""The executor of renders: claim a job, render and store its video, publish it or record why the attempt failed."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import structlog

from dubline.options.render import PRESETS
from dubline.orchestration import tracing
from dubline.orchestration.domain.errors import BadInputError, DatabaseUnavailableError, DublineError
from dubline.orchestration.domain.jobs import Cause, Outcome, Stage
from dubline.orchestration.domain.pools import DEFAULT_POOL
from dubline.orchestration.domain.quarantine import BLAMED
from dubline.orchestration.domain.retry import Fail, charged_after, decide
from dubline.worker.executors.attempt import AttemptExecutor
from dubline.worker.executors.preference import Preference
from dubline.worker.executors.share import ShareExecutor
from dubline.worker.rendering import inputs
from dubline.worker.rendering.job import MUXED_PERCENT, Helper, Rendered, Renderer
from dubline.worker.rendering.stored_checkpoints import StoredCheckpoints
from dubline.worker.runtime import metrics
from dubline.worker.runtime.heartbeat import Heartbeat
from dubline.worker.runtime.progress import Progress
from dubline.worker.runtime.retry_write import retry_write
from dubline.worker.runtime.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from dubline.orchestration.domain.leases import Lease
    from dubline.orchestration.domain.retry import Retry
    from dubline.worker.media.provenance import Provenance

_log = structlog.get_logger(__name__)

#: Stages that a graceful shutdown interrupts at the next step, because little work is lost.
INTERRUPTED: Final = frozenset({Stage.PREPARING, Stage.SAMPLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderExecutor(AttemptExecutor):
    """Renders the next job of the queue."""

    renderer: Renderer
    """The rendering pipeline with its networks."""
    pool: str = DEFAULT_POOL
    """Pool of this worker."""
    presets: Collection[str] = PRESETS
    """Presets that it renders; jobs of others are left to other workers."""
    preference: Preference = field(default_factory=Preference)
    """Networks whose jobs are preferred."""
    provenance: Provenance | None = None
    """Signs each video; None: videos are not signed."""
    helper: Helper | None = None
    """Helps with long jobs of other workers while no job is due; None: this worker does not."""

    def run_next(self) -> bool:
        """Claim the next job and run one attempt at it; if none is due, help with a long job of another worker.

        Returns:
            Whether there was work.

        Raises:
            DatabaseUnavailableError: no job could be claimed.
            DeviceFailedError: the outcome is recorded, but this process can render nothing more.
            QuarantinedError: this worker failed its self-test.
        """
        self.health.check()
        started_ns = time.time_ns()
        lease, helped = self._claim(), False
        if lease is None and self.helper is not None:
            sharing = ShareExecutor(helper=self.helper, executor=self, claim=self._claim)
            started_ns, (lease, helped) = time.time_ns(), sharing.run_next()
        if lease is None:
            _log.debug("no_job_claimed")
            return helped
        self._run(lease, started_ns)
        return True

    def _claim(self) -> Lease | None:
        return self.store.leases.claim(
            self.worker,
            self.leases.duration_s,
            pool=self.pool,
            presets=self.presets,
            held=self.preference.names(),
        )

    def _run(self, lease: Lease, started_ns: int) -> None:
        metrics.CLAIMS.labels(self.pool, lease.options.preset).inc()
        with structlog.contextvars.bound_contextvars(job_id=str(lease.job_id), attempt=lease.attempt):
            _log.info("job_leased", preset=lease.options.preset)
            self._trace(lease, started_ns)

    def _trace(self, lease: Lease, started_ns: int) -> None:
        """Execute an attempt as a span that continues the trace of its request."""
        preset, number = lease.options.preset, lease.attempt
        job_id = str(lease.job_id)
        with tracing.span(
            "attempt", lease.traceparent, started_ns, job_id=job_id, attempt=number, preset=preset, pool=self.pool
        ):
            tracing.record("claim", None, started_ns, time.time_ns())
            self._execute(lease)

    def _execute(self, lease: Lease) -> None:
        heartbeat = Heartbeat(lambda seconds: self.store.leases.renew(lease, seconds), self.leases)

        def check(stage: Stage) -> None:
            stages.enter(stage)
            self.check(heartbeat)
            if stage in INTERRUPTED:
                self.shutdown.raise_if_requested()

        stages = Stages(lease.options.preset)
        progress = Progress(lambda *reached: self.store.leases.progress(lease, *reached), check)
        checkpoints = StoredCheckpoints(
            store=self.store, objects=self.objects, lease=lease, shutdown=self.shutdown, report=progress.repeat
        )

        def work(folder: Path) -> None:
            # The heartbeat ends before the last write, after which there is no lease to renew.
            try:
                with heartbeat:
                    rendered, size_bytes = self._render(lease, folder, progress, checkpoints)
                self._finish(lease, rendered, size_bytes, progress.gpu_s)
            finally:
                stages.enter(None)

        def release() -> None:
            self.store.leases.release(lease, progress.gpu_s)
            self._count(lease, Outcome.RELEASED, Cause.SHUTDOWN, progress.gpu_s)

        self.attempt(
            work,
            release=release,
            settle=lambda error: self._settle(lease, error, checkpoints.made_progress, progress.gpu_s),
        )

    def _render(
        self, lease: Lease, folder: Path, progress: Progress, checkpoints: StoredCheckpoints
    ) -> tuple[Rendered, int]:
        """Render and store the video; return it with its size in bytes."""
        progress(Stage.PREPARING, 0.0)
        job = inputs.fetch(self.objects, lease, folder, progress.repeat)
        try:
            rendered = self.renderer.run(job, folder, progress, checkpoints)
        except BadInputError as error:
            raise RuntimeError("this worker refuses files that passed their probe unchanged") from error
        progress(Stage.STORING, MUXED_PERCENT)
        if self.provenance is not None:
            rendered = replace(rendered, path=self.provenance.sign(rendered.path, f"{lease.job_id}.mp4"))
        return rendered, self.objects.put(rendered.path, lease.result_key, "video/mp4", progress.repeat)

    def _finish(self, lease: Lease, rendered: Rendered, size_bytes: int, gpu_s: float) -> None:
        with rendered.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        retry_write(
            lambda: self.store.leases.finish(lease, size_bytes, rendered.duration_s, gpu_s, sha256=sha256),
            self.leases.duration_s,
        )
        self._count(lease, Outcome.SUCCEEDED, None, gpu_s)
        _log.info("job_succeeded", size_bytes=size_bytes, duration_s=rendered.duration_s, gpu_s=round(gpu_s, 3))

    def _settle(self, lease: Lease, error: Exception, made_progress: bool, gpu_s: float) -> None:
        """Record what a failed attempt means for its job."""
        decision = self._decide(lease, error, made_progress)
        if isinstance(error, DublineError):
            _log.warning("attempt_failed", code=error.code, detail=error.detail, reason=repr(error.__cause__))
        else:
            _log.error("attempt_crashed", exc_info=error)
        cause, code, detail = decision.cause, decision.code, decision.detail

        def settle() -> None:
            if isinstance(decision, Fail):
                self.store.leases.fail(lease, cause, code, detail, gpu_s)
                outcome = Outcome.FAILED
            else:
                self.store.leases.retry(lease, cause, code, detail, decision.delay_s, gpu_s)
                outcome = Outcome.RETRIED
            self._count(lease, outcome, cause, gpu_s)

        self.record(settle, "attempt_settled")

    def _count(self, lease: Lease, outcome: Outcome, cause: Cause | None, gpu_s: float) -> None:
        """Count an attempt whose end is recorded."""
        metrics.attempt_ended(self.pool, outcome, cause, lease.options.preset, gpu_s)
        tracing.annotate(outcome=outcome.value, cause="none" if cause is None else cause.value)

    def _decide(self, lease: Lease, error: Exception, made_progress: bool) -> Retry | Fail:
        """Count a failure that can lie with this worker, and decide what it means for the job."""
        charged = charged_after(lease.charged, made_progress=made_progress)
        decision = decide(error, charged, alone=lease.alone)
        if decision.cause in BLAMED:
            with suppress(DatabaseUnavailableError):
                return decide(error, charged, alone=lease.alone, sick=self.health.failed())
        return decision
