"""Checkpoints: finished motion and segments of a job, and the render fingerprint that they are valid for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderFingerprint:
    """What determines the bytes of a video, apart from its inputs, preset, seed and controls."""

    weights_sha256: str
    render_batch: int
    """Frames per forward pass."""
    segment_frames: int
    encoder_threads: int
    renderer_sha256: str
    """Version of the renderer: source files, libraries, encoder and class of device."""


class CheckpointKind(StrEnum):
    """Content of a checkpoint."""

    MOTION = "motion"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A finished part of a job, stored in the bucket so that later attempts need not compute it again."""

    kind: CheckpointKind
    number: int
    """0 for the motion; the index of a segment."""
    object_key: str
    size_bytes: int
    sha256: str
    """64 lower-case hexadecimal digits."""
