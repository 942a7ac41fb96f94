"""A core as a process sends it to its child, and where its tensors lie in memory that both share.

Imports no library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

#: Most frames of one request.
MOST_FRAMES: Final = 8
FLOAT_BYTES: Final = 4

#: Names of layers that `silu_layers` adds to ncnn's. The second one has parameters and weights of `GroupNorm`.
SILU: Final = "SiLU"
GROUP_NORM_SILU: Final = "GroupNormSiLU"

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes of one frame of a core, all fp32. In memory all frames of a tensor come before the next tensor."""

    inputs: tuple[Shape, ...]
    """Of each input."""
    outputs: tuple[Shape, ...]
    """Of each output."""

    @property
    def size_bytes(self) -> int:
        """Memory of the largest request."""
        return MOST_FRAMES * sum(map(frame_bytes, (*self.inputs, *self.outputs)))

    def split(self, memory: memoryview, frames: int) -> tuple[list[memoryview], list[memoryview]]:
        """Return the bytes of each input and each output.

        Args:
            memory: of at least `size_bytes`.
            frames: at most `MOST_FRAMES`.
        """
        parts, start = [], 0
        for shape in (*self.inputs, *self.outputs):
            end = start + frames * frame_bytes(shape)
            parts.append(memory[start:end])
            start = end
        return parts[: len(self.inputs)], parts[len(self.inputs) :]


@dataclass(frozen=True, slots=True)
class Layers:
    """A core in ncnn's format."""

    text: str
    """The layers."""
    weights: bytes
    """Of all layers, in their order."""
    inputs: list[str]
    """Names of the blobs of the inputs."""
    outputs: list[str]
    """Names of the blobs of the outputs."""
    shapes: Shapes
    """Of inputs and outputs."""


def frame_bytes(shape: Shape) -> int:
    """Return the memory of one frame of a tensor."""
    return FLOAT_BYTES * math.prod(shape)
