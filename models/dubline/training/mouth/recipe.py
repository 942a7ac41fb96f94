"""Options of a training run of the part for mouths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Recipe:
    """How to train the part for mouths."""

    minutes: float = math.inf
    """Time limit."""
    steps: int | None = None
    """Number of steps instead of a time limit, as in `Session`."""
    samples: int = 6000
    """Number of inputs that are computed before the first step."""
    resume: bool = False
    """As in `Session`."""
    start_from: Path | None = None
    """As in `Session`."""
    perceptual: float = 1.0
    """Weight of the perceptual loss; 0 leaves it out."""
    adversarial: float = 0.4
    """Gradient of the adversarial loss at the output layer over that of all other losses."""
