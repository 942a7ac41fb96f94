"""The question to the process that examines an upload. The prober asks it without the modules that decode."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Examination:
    """The question to the examination process."""

    kind: str
    """portrait or speech."""
    max_pixels: int
    """Largest accepted portrait, width times height."""
    shortest_s: float
    """Shortest accepted speech."""
    longest_s: float
    """Longest accepted speech."""
