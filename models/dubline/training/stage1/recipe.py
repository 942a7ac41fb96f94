"""Options of a stage 1 training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dubline.training.cli_errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

LEARNING_RATE: Final = 5e-4
#: At this weight the gradient of the perceptual loss is about as large as that of the pixel losses.
PERCEPTUAL: Final = 0.25
WARM_UP_STEPS: Final = 2000


@dataclass(frozen=True)
class Recipe:
    """How to train stage 1. A loss with weight 0 is left out."""

    minutes: float = math.inf
    """Time limit."""
    steps: int | None = None
    """Number of steps instead of a time limit, as in `Session`."""
    sources: int = 4
    """Clips per step."""
    drives: int = 3
    """Driving frames of each clip per step; they share the encoded source."""
    size_px: int | None = None
    """Side at which to render; None is the preset's `render_px`."""
    resume: bool = False
    """As in `Session`."""
    start_from: Path | None = None
    """As in `Session`."""
    keep_motion: bool = False
    """Freeze motion latents and appearance codes, so that stage 2 stays valid."""
    refine_mouth_eyes: bool = False
    """Train the mouth-eye refiner only, at the networks' side."""
    former: Path | None = None
    """Averages whose mouth-eye refiner is adapted to latents that have changed since."""
    learning_rate: float = LEARNING_RATE
    """Peak value."""
    readings: int = 0
    """Further driving frames per step for the motion encoder and the supervision heads only."""
    warm_up: int = 0
    """First steps, which train the motion encoder and the heads only.

    They cost a tenth of a rendered step, and a renderer does not learn from latents without information.
    """
    perceptual: float = PERCEPTUAL
    """Weight of the perceptual loss on mouth and eyes."""
    teacher: float = 1.0
    """Weight of the losses on exact geometry: rig parameters, landmarks, flow."""

    def __post_init__(self) -> None:
        if self.former and not self.refine_mouth_eyes:
            raise UsageError("only the mouth-eye refiner can be adapted: --formerly needs --refine-mouth-eyes")

    @property
    def freezes_motion(self) -> bool:
        """Whether motion latents and appearance codes are frozen."""
        return self.keep_motion or self.refine_mouth_eyes
