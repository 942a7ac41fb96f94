"""What was filmed: a clip in its modes, a portrait that speaks, a long speech. Small: the pictures are in videos."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from dubline.training.evaluation.generation.video_writer import WrittenVideo
    from dubline.training.evaluation.scores.reference import Reference


@dataclass
class GeneratedClip:
    """One held-out clip.

    labelled: whether the true opening is known; without labels the one that is read off its own frames is taken.
    reference: what its speech asks of the lips. driver: the clip whose motion it borrowed, if any.
    videos: by mode: "truth", "own" motion, "speech", another clip's motion "driven".
    pictures: by mode and "still": picture scores against the truth.
    """

    name: str
    kind: str
    labelled: bool
    reference: Reference
    driver: GeneratedClip | None = None
    videos: dict[str, Path] = field(default_factory=dict)
    pictures: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Voice:
    """A voice to speak to portraits with: speech (N,) at 16 kHz, `count` frames of it, and what it asks of lips."""

    name: str
    speech: NDArray[np.float32]
    count: int
    reference: Reference
    human: bool


@dataclass(frozen=True)
class GeneratedPortrait:
    """A portrait spoken to by a voice. sharpness: by box, the film's median over the portrait's own."""

    portrait: str
    voice: Voice
    video: WrittenVideo
    sharpness: dict[str, float]


@dataclass(frozen=True)
class GeneratedLongSpeech:
    """A source spoken to for long enough to see whether it drifts."""

    name: str
    seconds: float
    video: WrittenVideo
