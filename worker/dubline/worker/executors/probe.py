"""Executes one probe: claim an upload, fetch it, examine it, keep the facts or why it cannot be used.

Imports no network. The only place of the prober that catches every exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from dubline.orchestration.domain.errors import BadInputError, DublineError, LeaseLostError
from dubline.orchestration.domain.retry import pause_s
from dubline.worker.executors import error_translation
from dubline.worker.media.probe import probe
from dubline.worker.runtime import scratch
from dubline.worker.runtime.heartbeat import Heartbeat
from dubline.worker.runtime.retry_write import retry_write
from dubline.worker.runtime.shutdown import Shutdown, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.uploads import ProbeLease
    from dubline.orchestration.settings import LimitSettings
    from dubline.orchestration.storage.objects import Objects
    from dubline.worker.runtime.liveness import LivenessFile
    from dubline.worker.settings import LeaseSettings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeExecutor:
    """Probes the upload that has waited longest."""

    store: Store
    """The rows."""
    objects: Objects
    """The bucket."""
    leases: LeaseSettings
    """How long a lease lasts and how often it is renewed."""
    limits: LimitSettings
    """On what senders may send."""
    folder: Path
    """The worker's scratch folder."""
    worker: str
    """Name of this worker, for people."""
    shutdown: Shutdown
    """Whether this worker is to stop."""
    liveness: LivenessFile
    """Beats while a file is looked at."""

    def run_next(self) -> bool:
        """Claim an upload and decides about it.

        Returns:
            Whether there was one.

        Raises:
            DatabaseUnavailableError: nothing could be claimed.
        """
        lease = self.store.uploads.claim(self.worker, self.leases.duration_s)
        if lease is None:
            _log.debug("nothing_to_probe")
            return False
        with structlog.contextvars.bound_contextvars(upload_id=str(lease.upload.id), attempt=lease.attempt):
            try:
                self._probe(lease)
            except LeaseLostError:
                _log.warning("probe_abandoned")
            except StoppedError:
                self._record(lambda: self.store.uploads.release(lease), "upload_released")
            except Exception as error:  # noqa: BLE001 - the executor answers for everything below it
                self._settle(lease, error_translation.translate(error))
        return True

    def _probe(self, lease: ProbeLease) -> None:
        upload = lease.upload
        with scratch.attempt(self.folder) as folder:
            with Heartbeat(lambda seconds: self.store.uploads.renew(lease, seconds), self.leases) as heartbeat:

                def report() -> None:
                    self.liveness.touch()
                    heartbeat.check()
                    self.shutdown.raise_if_forced()

                path = folder / "upload"
                self.objects.get(upload.object_key, path, limit_bytes=upload.size_bytes, report=report)
                facts = probe(path, upload.kind, upload.content_type, self.limits, report)
            retry_write(lambda: self.store.uploads.accept(lease, facts), self.leases.duration_s)
        _log.info("upload_accepted", kind=upload.kind.value, media_type=facts.media_type)

    def _settle(self, lease: ProbeLease, error: Exception) -> None:
        """Write down what a failed probe means for the upload."""
        if isinstance(error, BadInputError):
            code, detail = error.code, error.detail
            self._record(lambda: self.store.uploads.reject(lease, code, detail), "upload_rejected", code=code)
        elif isinstance(error, DublineError) and error.retryable:
            _log.warning("probe_failed", code=error.code)
            self._record(lambda: self.store.uploads.retry(lease, pause_s(lease.attempt)), "upload_put_off")
        else:
            # A defect of ours: the lease runs out, and the rescuer counts how often.
            _log.error("probe_broke", exc_info=error)

    def _record(self, write: Callable[[], object], event: str, **facts: str) -> None:
        try:
            retry_write(write, self.leases.duration_s)
        except DublineError as unwritten:
            _log.warning("probe_not_settled", code=unwritten.code)
        else:
            _log.info(event, **facts)
