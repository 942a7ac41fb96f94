"""Examinations of uploads and encodings of videos by real processes, with the fixtures of the worker's unit tests."""

from __future__ import annotations

from tests.unit.worker.conftest import portrait_file, speech_file

__all__ = ["portrait_file", "speech_file"]
