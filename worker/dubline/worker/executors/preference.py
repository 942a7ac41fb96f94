"""When a worker prefers jobs whose networks it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from dubline.orchestration.domain.fairness import PREFERENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


@dataclass(slots=True, kw_only=True)
class Preference:
    """Networks that are named in a claim. Once in `PREFERENCE_S` it is none, so that every job is claimed in time."""

    held: Callable[[], Collection[str]] = tuple
    """Returns the names of the networks on the device."""
    clock: Callable[[], float] = monotonic
    """Seconds."""
    _none_at: float = field(default=-math.inf, init=False)
    """Time of the last claim without preference."""

    def names(self) -> Collection[str]:
        """Return the names for the next claim."""
        now = self.clock()
        if now - self._none_at < PREFERENCE_S:
            return self.held()
        self._none_at = now
        return ()
