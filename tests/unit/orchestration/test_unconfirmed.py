from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from dubline.orchestration.database.store.unconfirmed import PENDING_S, UnconfirmedClaims

if TYPE_CHECKING:
    from collections.abc import Callable


class Releases:
    """Records releases, and does what another thread does meanwhile."""

    def __init__(self) -> None:
        self.released: list[list[UUID]] = []
        self.meanwhile: Callable[[], object] | None = None
        self.now_s = 0.0

    def __call__(self, tokens: list[UUID]) -> None:
        self.released.append(tokens)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()

    def clock(self) -> float:
        return self.now_s


def test_a_lost_claim_is_released_until_it_cannot_be_committed() -> None:
    releases, token = Releases(), uuid4()
    claims = UnconfirmedClaims(releases, releases.clock)
    claims.release()
    claims.add(token)
    for releases.now_s in (0.0, PENDING_S, PENDING_S + 1, PENDING_S + 2):
        claims.release()
    assert releases.released == [[token]] * 3


def test_two_threads_may_release_the_same_claim() -> None:
    releases, token = Releases(), uuid4()
    claims = UnconfirmedClaims(releases, releases.clock)
    claims.add(token)
    releases.now_s = PENDING_S + 1
    releases.meanwhile = claims.release
    claims.release()
    assert releases.released == [[token], [token]]
