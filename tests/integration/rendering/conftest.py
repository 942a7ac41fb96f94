"""Whole renders with stub networks or short speech, with the fixtures of the worker's unit tests."""

from __future__ import annotations

from tests.unit.worker.conftest import _memory_is_kept, portrait_file, renderer, speech_file

__all__ = ["_memory_is_kept", "portrait_file", "renderer", "speech_file"]
