"""One attempt, as all executors run it: scratch folder, heartbeat checks, error translation, record of the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from dubline.orchestration.domain.errors import DeviceFailedError, DublineError, LeaseLostError
from dubline.worker.executors import error_translation
from dubline.worker.runtime import metrics, scratch
from dubline.worker.runtime.retry_write import retry_write
from dubline.worker.runtime.shutdown import Shutdown, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects
    from dubline.worker.executors.health import Health
    from dubline.worker.runtime.heartbeat import Heartbeat
    from dubline.worker.runtime.liveness import LivenessFile
    from dubline.worker.settings import LeaseSettings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptExecutor:
    """Base of the executors: what they work with, and the course of one attempt."""

    store: Store
    """The database."""
    objects: Objects
    """The bucket."""
    leases: LeaseSettings
    """Lease duration and heartbeat period."""
    folder: Path
    """The worker's scratch folder."""
    worker: str
    """Name of this worker, for operators."""
    shutdown: Shutdown
    """Shutdown state of this worker."""
    liveness: LivenessFile
    """Touched at each check."""
    health: Health
    """Failures of this worker in a row."""

    def attempt(
        self,
        work: Callable[[Path], None],
        release: Callable[[], object],
        settle: Callable[[Exception], None],
    ) -> None:
        """Run one attempt and record how it ended. The only place of a worker that catches every exception.

        Args:
            work: the attempt, in an empty folder; records its own success.
            release: write that returns the work uncharged because this worker stops.
            settle: records what an error means for the work.

        Raises:
            DeviceFailedError: the error is recorded, but this process can no longer work.
        """
        try:
            with scratch.attempt(self.folder) as folder:
                work(folder)
        except LeaseLostError:
            metrics.LOST.inc()
            _log.warning("attempt_abandoned")
        except StoppedError:
            self.record(release, "attempt_released")
        except Exception as error:
            settle(error_translation.translate(error))
            if isinstance(error, DeviceFailedError):
                raise

    def check(self, heartbeat: Heartbeat) -> None:
        """Check at each step whether the attempt may continue.

        Raises:
            LeaseLostError: the lease is lost.
            StoppedError: a stop is forced.
        """
        self.liveness.touch()
        heartbeat.check()
        self.shutdown.raise_if_forced()

    def record(self, write: Callable[[], object], event: str, **facts: str) -> None:
        """Write an outcome and log it. If it cannot be written, the lease expires and the rescuer takes over."""
        try:
            retry_write(write, self.leases.duration_s)
        except DublineError as error:
            _log.warning("outcome_not_recorded", code=error.code, reason=repr(error.__cause__))
        else:
            _log.info(event, **facts)
