"""Options of a stage 2 training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Recipe:
    """How to train stage 2. TINY was released with `Recipe(batch=32, draws=1, variants=0, rollouts=0)`."""

    batch: int = 16
    """Windows per step."""
    draws: int = 2
    """Times and noises per window; they share the outputs of the extractors, which take half of the time."""
    variants: int = 3
    """Augmented recordings of each clip's speech."""
    rollouts: float = 1 / 8
    """Share of windows whose previous frames are sampled by the network itself."""
    recorded: float | None = None
    """Share of windows from clips without labels; None draws all clips with equal probability."""
    articulation_windows: int = 16
    """Windows per step of speech without frames, if there is any."""
    warm_up: int = 2000
    """First steps, which learn from speech without frames only."""
    minutes: float = math.inf
    """Time limit, without encoding."""
    steps: int | None = None
    """Number of steps instead of a time limit, as in `Session`."""
    resume: bool = False
    """As in `Session`."""
    start_from: Path | None = None
    """As in `Session`."""
