"""Where the tensors of a core lie in memory that a process shares with its child. Imports no torch and no numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

#: Most frames of one request.
MOST_FRAMES: Final = 8
FLOAT_BYTES: Final = 4

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


def frame_bytes(shape: Shape) -> int:
    """Return the memory of one frame of a tensor."""
    return FLOAT_BYTES * math.prod(shape)
