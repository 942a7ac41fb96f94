"""Claims whose result was lost with the connection: they may still be executed, and nobody would work on them."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from dubline.orchestration.database.store.connections import STATEMENT_TIMEOUT_MS

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

#: Seconds after which a lost claim is not committed any more: twice the longest time that the server executes it.
PENDING_S: Final = 2 * STATEMENT_TIMEOUT_MS / 1000


class UnconfirmedClaims:
    """Tokens of lost claims, released again and again until none of them can be committed any more.

    A claim may be committed after its first release, which then changes nothing. So releases are repeated before each
    claim and after each renewal of another lease, which is more often than a lease expires.

    Args:
        release: releases what the tokens hold, uncharged; other tokens are ignored.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, release: Callable[[list[UUID]], object], clock: Callable[[], float] = monotonic) -> None:
        self._release = release
        self._clock = clock
        self._lost_at: dict[UUID, float] = {}

    def add(self, token: UUID) -> None:
        """Remember the token of a claim whose result was lost."""
        self._lost_at[token] = self._clock()

    def release(self) -> None:
        """Release what lost claims hold by now.

        Raises:
            DatabaseUnavailableError: it is released by a later call.
        """
        lost = list(self._lost_at.items())
        if not lost:
            return
        now = self._clock()
        self._release([token for token, _ in lost])
        for token, lost_at in lost:
            if now - lost_at > PENDING_S:
                # Another thread may have done the same.
                self._lost_at.pop(token, None)
