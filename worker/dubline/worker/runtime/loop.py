"""A worker's life: look for work until none is left, wait to be nudged or for a while, look again.

A wake-up and the clock lead to the same look, so a broker that is away only makes it later.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from dubline.orchestration.domain.errors import DeviceFailedError, DublineError

if TYPE_CHECKING:
    from dubline.worker.runtime.channel import Upstream
    from dubline.worker.runtime.liveness import Pulse
    from dubline.worker.runtime.shutdown import Drain

_log = structlog.get_logger(__name__)

#: By how much a wait may be shorter or longer, so that workers that started together do not look together.
JITTER: Final = 0.2
#: After a look that failed: the database is usually back within seconds.
RETRY_S: Final = 1.0


class Executor(Protocol):
    """Runs what is next."""

    def run_next(self) -> bool:
        """Claim and runs one piece of work; tells whether there was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Runs an executor, one piece of work at a time, until this worker is to stop."""

    executor: Executor
    """Does the work."""
    upstream: Upstream
    """Nudges."""
    drain: Drain
    """Ends the loop."""
    pulse: Pulse
    """Beats at each look."""
    poll_s: float
    """Seconds between two looks without a nudge."""

    def run(self) -> None:
        """Work until the drain asks for an end.

        Raises:
            DeviceFailedError: this process can work no more.
        """
        while not self.drain.asked:
            nudged = self.upstream.take_nudge()
            well = self._look()
            if nudged:
                self.upstream.answer()
            if not self.drain.asked:
                self.upstream.wait(self._wait_s() if well else min(RETRY_S, self.poll_s))

    def _look(self) -> bool:
        """Works as long as there is work; tells whether the look ended well."""
        try:
            self.pulse.beat()
            while not self.drain.asked and self.executor.run_next():
                self.pulse.beat()
        except DeviceFailedError:
            raise
        except DublineError as error:
            _log.warning("look_failed", code=error.code)
            return False
        except Exception:  # noqa: BLE001 - one defect must not end the worker
            # A defect of ours must not end a worker that could still do other work.
            _log.exception("look_broke")
            return False
        return True

    def _wait_s(self) -> float:
        return self.poll_s * secrets.SystemRandom().uniform(1 - JITTER, 1 + JITTER)
