"""The health of a worker: failures in a row, and the self-test that tells a defective worker from defective jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from dubline.orchestration.domain.errors import DeviceFailedError
from dubline.orchestration.domain.quarantine import UNFINISHED_TEST, is_sick
from dubline.worker.runtime import scratch
from dubline.worker.runtime.heartbeat import Heartbeat
from dubline.worker.runtime.loop import QuarantinedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.worker.runtime.liveness import LivenessFile
    from dubline.worker.settings import LeaseSettings

_log = structlog.get_logger(__name__)


class Counts(Protocol):
    """Failures in a row and quarantine of workers, as of `store.workers`."""

    def read(self, worker: str) -> tuple[int, float]:
        """Return the failures in a row, and the seconds until the quarantine ends."""

    def failed(self, worker: str) -> int:
        """Count a failure; return the failures in a row."""

    def begin_test(self, worker: str) -> None:
        """Record that a self-test begins."""

    def quarantine(self, worker: str) -> float:
        """Quarantine the worker; return the seconds."""

    def succeeded(self, worker: str) -> None:
        """Set the failures in a row to zero."""


@dataclass(slots=True, kw_only=True)
class Health:
    """Counts the failures of a worker and tests the worker when there are too many (see `domain.quarantine`)."""

    counts: Counts
    """Rows of workers, or the count of this process."""
    worker: str
    """Name of this worker."""
    self_test: Callable[[Path, Callable[[], None]], None]
    """Uses everything that jobs use, in an empty folder; calls its second argument at each step; raises if it fails."""
    folder: Path
    """The worker's scratch folder."""
    leases: LeaseSettings
    """A self-test may be silent for as long as an attempt."""
    liveness: LivenessFile
    """Touched by the self-test, and cleared of the mark of a quarantine."""
    isolated: bool = False
    """Whether the self-test uses processes of its own only, so that no work of this process can make it fail."""
    _worked: bool = field(default=False, init=False)
    """Whether this process may have done other work than a self-test."""
    _suspected: bool = field(default=False, init=False)
    """Whether the next claim needs a self-test, however few failures there were."""
    _doubtful: bool = field(default=True, init=False)
    """Whether the row must be read before the next claim: at the start, and after too many failures."""

    def check(self) -> None:
        """Test the worker before a claim, if it has failed too often.

        Raises:
            QuarantinedError: the worker is quarantined.
            DeviceFailedError: the self-test failed in a process that did other work; a new process repeats it.
            DatabaseUnavailableError: its row cannot be read or written.
        """
        if not self._doubtful:
            return
        failures, quarantine_s = self.counts.read(self.worker)
        if quarantine_s == UNFINISHED_TEST:
            self._quarantine("the process ended in its self-test")
        if quarantine_s > 0:
            raise QuarantinedError
        if self._suspected or is_sick(failures):
            self._test(failures)
        self._doubtful, self._suspected, self._worked = False, False, True

    def failed(self) -> bool:
        """Count a failure; return whether the worker is doubtful, so that its failures must not end any work.

        Raises:
            DatabaseUnavailableError: the failure cannot be counted.
        """
        self._doubtful = is_sick(self.counts.failed(self.worker)) or self._suspected
        return self._doubtful

    def suspect(self) -> None:
        """Test the worker before its next claim."""
        self._doubtful = self._suspected = True

    def succeeded(self) -> None:
        """Set the failures in a row to zero. The renderer need not call it: `leases.finish` does the same."""
        self.counts.succeeded(self.worker)

    def _test(self, failures: int) -> None:
        _log.warning("self_test_started", failures=failures)
        conclusive = self.isolated or not self._worked
        if conclusive:
            self.counts.begin_test(self.worker)
        # The heartbeat renews nothing; it ends a process that hangs.
        heartbeat = Heartbeat(lambda _: None, self.leases)

        def report() -> None:
            self.liveness.touch()
            heartbeat.check()

        try:
            with scratch.attempt(self.folder) as folder, heartbeat:
                self.self_test(folder, report)
        except Exception as error:
            _log.info("self_test_failed", exc_info=True)
            if not conclusive:
                raise DeviceFailedError from error
            self._quarantine(f"{type(error).__name__}: {error}")
        self.counts.succeeded(self.worker)
        self.liveness.clear()
        _log.info("self_test_succeeded")

    def _quarantine(self, reason: str) -> None:
        seconds = self.counts.quarantine(self.worker)
        _log.critical("worker_quarantined", quarantine_s=seconds, reason=reason)
        raise QuarantinedError
