"""The executor of probes: claim an upload, fetch it, examine it, record its facts or why it is rejected. No network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from dubline.orchestration.domain.errors import BadInputError, DublineError
from dubline.orchestration.domain.retry import backoff_s
from dubline.worker.executors.attempt import AttemptExecutor
from dubline.worker.media.probe import probe
from dubline.worker.runtime.heartbeat import Heartbeat
from dubline.worker.runtime.retry_write import retry_write

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.orchestration.domain.uploads import ProbeLease
    from dubline.orchestration.settings import LimitSettings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeExecutor(AttemptExecutor):
    """Probes the upload that has waited longest."""

    limits: LimitSettings
    """Limits on portraits and speech."""

    def run_next(self) -> bool:
        """Claim an upload and run one attempt at its probe.

        Returns:
            Whether there was one.

        Raises:
            DatabaseUnavailableError: no upload could be claimed.
            QuarantinedError: this prober failed its self-test.
        """
        self.health.check()
        lease = self.store.uploads.claim(self.worker, self.leases.duration_s)
        if lease is None:
            _log.debug("no_upload_claimed")
            return False
        with structlog.contextvars.bound_contextvars(upload_id=str(lease.upload.id), attempt=lease.attempt):
            self.attempt(
                lambda folder: self._probe(lease, folder),
                release=lambda: self.store.uploads.release(lease),
                settle=lambda error: self._settle(lease, error),
            )
        return True

    def _probe(self, lease: ProbeLease, folder: Path) -> None:
        upload, path = lease.upload, folder / "upload"
        # The heartbeat ends before the last write, after which there is no lease to renew.
        with Heartbeat(lambda seconds: self.store.uploads.renew(lease, seconds), self.leases) as heartbeat:

            def report() -> None:
                self.check(heartbeat)

            self.objects.get(upload.object_key, path, limit_bytes=upload.size_bytes, report=report)
            facts = probe(path, upload.kind, self.limits, report)
        retry_write(lambda: self.store.uploads.accept(lease, facts), self.leases.duration_s)
        self.health.succeeded()
        _log.info("upload_accepted", kind=upload.kind.value, media_type=facts.media_type)

    def _settle(self, lease: ProbeLease, error: Exception) -> None:
        """Record what a failed probe means for the upload."""
        if isinstance(error, BadInputError) and error.crashed and lease.attempt == 1:
            # It is the file, or every decoder of this machine crashes: the self-test tells, and the next attempt.
            self.health.suspect()
            self.record(lambda: self.store.uploads.retry(lease, backoff_s(lease.attempt)), "upload_retried")
        elif isinstance(error, BadInputError):
            # A prober with a defect may refuse every file.
            self.health.failed()
            code, detail = error.code, error.detail
            self.record(lambda: self.store.uploads.reject(lease, code, detail), "upload_rejected", code=code)
        elif isinstance(error, DublineError) and error.retryable:
            _log.warning("probe_failed", code=error.code, reason=repr(error.__cause__))
            self.record(lambda: self.store.uploads.retry(lease, backoff_s(lease.attempt)), "upload_retried")
        else:
            _log.error("probe_crashed", exc_info=error)
            if self.health.failed():
                self.record(lambda: self.store.uploads.retry(lease, backoff_s(lease.attempt)), "upload_retried")
            # Otherwise the lease expires, and the rescuer counts how often.
