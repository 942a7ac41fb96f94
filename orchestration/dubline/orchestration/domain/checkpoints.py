"""Checkpoints without I/O: finished motion and segments of a job, and the render fingerprint that they fit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderFingerprint:
    """What makes the bytes of a video, beside its inputs, preset, seed and controls. Equal fingerprint, equal bytes."""

    weights_sha256: str
    render_batch: int
    """Frames rendered at once."""
    segment_frames: int
    encoder_threads: int


class CheckpointKind(StrEnum):
    """What a checkpoint holds."""

    MOTION = "motion"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A finished piece of a job, kept in the bucket so that no later attempt makes it again."""

    kind: CheckpointKind
    number: int
    """0 for the motion; the index of a segment."""
    object_key: str
    size_bytes: int
    sha256: str
    """64 lower-case hexadecimal digits."""
