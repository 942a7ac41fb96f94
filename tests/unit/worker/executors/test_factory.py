from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dubline.worker.executors import factory
from dubline.worker.executors.factory import WorkerContext
from dubline.worker.rendering import device
from dubline.worker.rendering.model_cache import ModelCache
from dubline.worker.rendering.weights_cache import WeightsCache
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.shutdown import Shutdown
from dubline.worker.settings import WorkerSettings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with networks; nothing else of a worker starts."""
    done: list[str] = []
    monkeypatch.setattr(ModelCache, "get", lambda _self, preset: done.append(f"load {preset}"))
    monkeypatch.setattr(WeightsCache, "verify", lambda _self, preset: done.append(f"verify {preset}"))
    monkeypatch.setattr(factory.forks, "prepare", lambda _module: None)
    monkeypatch.setattr(factory, "Objects", lambda _settings: None)
    monkeypatch.setattr(factory.BucketSettings, "read", lambda: None)
    monkeypatch.setattr(factory, "renderer_with", lambda *_: None)
    monkeypatch.setattr(device, "publish_memory", lambda _device: None)
    return done


def test_a_cpu_worker_loads_only_its_first_preset(done: list[str], tmp_path: Path) -> None:
    settings = WorkerSettings(device="cpu", presets=("tiny", "base"))
    factory.renderer(
        WorkerContext(settings=settings, folder=tmp_path, shutdown=Shutdown(), liveness=LivenessFile(None))
    )
    assert done == ["verify base", "load tiny"]
