"""The child's loop: poll for work until none is left, wait for a notification or the poll interval, poll again.

Notifications and the interval lead to the same poll, so a broker outage only delays work.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from dubline.orchestration.domain.errors import DeviceFailedError, DublineError

if TYPE_CHECKING:
    from dubline.worker.runtime.channel import ParentChannel
    from dubline.worker.runtime.liveness import LivenessFile
    from dubline.worker.runtime.shutdown import Shutdown

_log = structlog.get_logger(__name__)

#: Each wait is shortened or lengthened by up to this share, so that workers that start together do not poll together.
JITTER: Final = 0.2
#: The wait after a failed poll: most database outages last seconds.
RETRY_S: Final = 1.0


class QuarantinedError(Exception):
    """This worker failed its self-test and must not claim work."""


class Executor(Protocol):
    """Claims and executes one unit of work."""

    def run_next(self) -> bool:
        """Claim and execute one job or upload; return whether there was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Calls an executor until a shutdown is requested."""

    executor: Executor
    """Claims and executes one job or upload per call."""
    channel: ParentChannel
    """Source of notifications."""
    shutdown: Shutdown
    """Ends the loop."""
    liveness: LivenessFile
    """Touched at each poll."""
    poll_s: float
    """Seconds between two polls without a notification."""

    def run(self) -> None:
        """Work until a shutdown is requested.

        Raises:
            DeviceFailedError: this process can no longer work.
            QuarantinedError: this worker is quarantined.
        """
        while not self.shutdown.requested:
            notified = self.channel.pop_notification()
            succeeded = self._poll()
            if notified:
                self.channel.acknowledge()
            # A stop that was requested meanwhile ends the wait at once.
            self.channel.wait(self._wait_s() if succeeded else min(RETRY_S, self.poll_s))

    def _poll(self) -> bool:
        """Execute all work there is; return False after an error."""
        try:
            self.liveness.touch()
            while not self.shutdown.requested and self.executor.run_next():
                self.liveness.touch()
        except (DeviceFailedError, QuarantinedError):
            raise
        except DublineError as error:
            _log.warning("poll_failed", code=error.code, reason=repr(error.__cause__))
            return False
        except Exception:  # noqa: BLE001 - a defect in one job must not end a worker that can execute others
            _log.exception("poll_crashed")
            return False
        return True

    def _wait_s(self) -> float:
        return self.poll_s * secrets.SystemRandom().uniform(1 - JITTER, 1 + JITTER)
