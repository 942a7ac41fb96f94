"""Training runs of narrow networks on the synthetic corpus of the unit tests."""

from __future__ import annotations

from tests.unit.training.conftest import _few_frames, clips

__all__ = ["_few_frames", "clips"]
