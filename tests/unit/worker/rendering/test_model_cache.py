from __future__ import annotations

import pytest
import torch
from prometheus_client import REGISTRY

from dubline.models.weights import WeightsError
from dubline.worker.rendering import model_cache


def requests(preset: str, result: str) -> float:
    labels = {"preset": preset, "result": result}
    return REGISTRY.get_sample_value("dubline_model_cache_requests_total", labels) or 0.0


def test_networks_are_loaded_once_and_each_request_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(model_cache, "load_networks", lambda preset, _: loaded.append(preset))
    cache = model_cache.ModelCache(torch.device("cpu"))
    before = requests("tiny", "miss"), requests("tiny", "hit")
    for _ in range(3):
        cache.get("tiny")
    assert loaded == ["tiny"]
    assert (requests("tiny", "miss"), requests("tiny", "hit")) == (before[0] + 1, before[1] + 2)
    assert REGISTRY.get_sample_value("dubline_model_load_seconds_total", {"preset": "tiny"}) is not None


def test_a_preset_that_does_not_exist_becomes_no_label() -> None:
    cache = model_cache.ModelCache(torch.device("cpu"))
    with pytest.raises(WeightsError):
        cache.get("gigantic")
    assert (
        REGISTRY.get_sample_value("dubline_model_cache_requests_total", {"preset": "gigantic", "result": "miss"})
        is None
    )
