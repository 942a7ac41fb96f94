"""Records of generated videos. They hold paths and scores, not frames."""

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
    """The videos of one held-out clip."""

    name: str
    kind: str
    labelled: bool
    """Whether the true mouth opening is known. Without labels the opening measured on the clip's own frames is used."""
    reference: Reference
    """Expected mouth events of its speech."""
    driver: GeneratedClip | None = None
    """The clip whose motion was transferred, if any."""
    videos: dict[str, Path] = field(default_factory=dict)
    """By mode: "truth", "own" (encoded motion), "speech" (sampled motion), "unheld" (with
    `shut_in_silence` at 0), "unedited" (without the readout's edits), "driven" (another clip's motion)."""
    pictures: dict[str, dict[str, float]] = field(default_factory=dict)
    """Picture scores against the truth, by mode and for "still"."""


@dataclass(frozen=True)
class Voice:
    """Speech for portraits."""

    name: str
    speech: NDArray[np.float32]
    """(N,) at 16 kHz."""
    count: int
    """Number of frames."""
    reference: Reference
    """Expected mouth events of the speech."""
    human: bool
    """Whether it is a recording of a person without labels."""


@dataclass(frozen=True)
class GeneratedPortrait:
    """A video of a portrait driven by a voice."""

    portrait: str
    voice: Voice
    video: WrittenVideo
    sharpness: dict[str, float]
    """By box: the video's median over the portrait's own sharpness."""


@dataclass(frozen=True)
class GeneratedLongSpeech:
    """A video that is long enough to measure drift."""

    name: str
    seconds: float
    video: WrittenVideo
