"""Fixtures: a portrait with a face, a short tone as speech, and the pipeline with stub networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from tests.unit.worker import media_files as media
from tests.unit.worker import stub_networks

from dubline.worker.rendering import device, motion
from dubline.worker.rendering.pipeline import Renderer

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image


@pytest.fixture(scope="session")
def portrait_file(tmp_path_factory: pytest.TempPathFactory, astronaut: Image.Image) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "portrait.png"
    astronaut.save(path)
    return path


@pytest.fixture
def speech_file(tmp_path: Path) -> Path:
    return media.wav(tmp_path / "speech.wav", media.tone(1.0))


@pytest.fixture
def _memory_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the search of the whole process for garbage. The tests of returned memory do not."""
    monkeypatch.setattr(device, "release_memory", lambda: None)


@pytest.fixture
def renderer(monkeypatch: pytest.MonkeyPatch) -> Renderer:
    """The real pipeline with stub networks."""
    monkeypatch.setattr(motion, "sample_motion", stub_networks.sample_motion)
    torch.set_num_threads(1)
    return Renderer(stub_networks.StubModels())
