"""The segments of a job as the worker that holds it sees them: its own, and those that others reserve or have stored.

Without other workers it renders all that no earlier attempt stored. If the database does not answer, it does the same:
a segment may then be rendered twice, which changes nothing but time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

_log = structlog.get_logger(__name__)

#: Seconds between two reads of the segments of other workers.
WAIT_S: Final = 0.5


@dataclass(slots=True, kw_only=True)
class Division:
    """The segments of one attempt."""

    store: Store
    """The database."""
    lease: Lease
    """Lease of the attempt."""
    count: int
    """Number of segments of the video."""
    stored: frozenset[int]
    """Numbers of the segments that are known to be stored."""
    shared: bool = False
    """Whether other workers may render segments."""
    own: set[int] = field(default_factory=set)
    """Numbers of the segments that this attempt renders or has rendered."""

    def offer(self) -> None:
        """Let other workers render segments; the motion is stored.

        Raises:
            LeaseLostError: the lease is lost.
        """
        try:
            self.store.shares.offer(self.lease, self.count)
        except DatabaseUnavailableError as error:
            _log.warning("job_not_shared", code=error.code, reason=repr(error.__cause__))
        else:
            self.shared = True
            _log.info("job_shared", segments=self.count)

    @property
    def of_others(self) -> int:
        """Number of segments that are stored and that this attempt does not render."""
        return len(self.stored - self.own)

    def missing(self) -> Iterator[int]:
        """Yield the number of each segment that this attempt has to render now.

        Raises:
            LeaseLostError: the lease is lost.
        """
        while (number := self._next()) is not None:
            self.own.add(number)
            yield number

    def settled(self, report: Callable[[], None]) -> bool:
        """Wait a moment if segments are left that others have reserved; return whether there are none."""
        if not self._left():
            return True
        report()
        time.sleep(WAIT_S)
        return False

    def _next(self) -> int | None:
        if self.shared:
            try:
                segments = self.store.shares.reserve(self.lease, helps=False)
            except DatabaseUnavailableError as error:
                _log.warning("segment_not_reserved", code=error.code, reason=repr(error.__cause__))
            else:
                self.stored = segments.stored
                return segments.reserved
        return min(self._left(), default=None)

    def _left(self) -> set[int]:
        return set(range(self.count)) - self.stored - self.own
