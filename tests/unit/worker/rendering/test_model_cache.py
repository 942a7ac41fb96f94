from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import torch
from prometheus_client import REGISTRY

from dubline.models.weights import WeightsError, released_sha256
from dubline.orchestration.domain.errors import WeightsUnusableError
from dubline.orchestration.domain.weights import Pin
from dubline.worker.rendering import model_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MB = 1_000_000


@dataclass
class StubNetworks:
    """Networks of one version."""

    size_bytes: int

    def compile(self, _threads: int) -> None:
        pass

    def to(self, _device: torch.device) -> None:
        pass


@dataclass
class StubWeights:
    """Versions on the disk; `gone` cannot be fetched."""

    opened_versions: list[str] = field(default_factory=list)

    packaged_sha256 = staticmethod(released_sha256)

    @contextmanager
    def opened(self, _preset: str, sha256: str, _report: Callable[[], None]) -> Iterator[str]:
        if sha256 == "gone":
            raise WeightsUnusableError
        self.opened_versions.append(sha256)
        yield sha256


@pytest.fixture
def weights() -> StubWeights:
    return StubWeights()


@pytest.fixture
def cache(weights: StubWeights, monkeypatch: pytest.MonkeyPatch) -> model_cache.ModelCache:
    """A cache for three versions of 1 MB; the version `large` has 5 MB."""
    monkeypatch.setattr(
        model_cache, "load_networks", lambda _preset, _on, folder: StubNetworks(5 * MB if folder == "large" else MB)
    )
    return model_cache.ModelCache(torch.device("cpu"), weights, 3 * MB)  # type: ignore[arg-type]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"dubline_model_cache_{name}", labels) or 0.0


def get(cache: model_cache.ModelCache, sha256: str, *, pushed: bool = True) -> Any:
    return cache.get("tiny", Pin(sha256, pushed))


def test_networks_are_loaded_once_and_each_request_is_counted(
    cache: model_cache.ModelCache, weights: StubWeights
) -> None:
    before = [counted("requests_total", preset="tiny", result=result) for result in ("miss", "hit")]
    assert cache.get("tiny") is cache.get("tiny") is cache.get("tiny", Pin(released_sha256("tiny"), pushed=True))
    assert weights.opened_versions == [released_sha256("tiny")]
    after = [counted("requests_total", preset="tiny", result=result) for result in ("miss", "hit")]
    assert after == [before[0] + 1, before[1] + 2]
    assert REGISTRY.get_sample_value("dubline_model_load_seconds_total", {"preset": "tiny"}) is not None


def test_a_preset_that_does_not_exist_becomes_no_label(cache: model_cache.ModelCache) -> None:
    with pytest.raises(WeightsError):
        cache.get("gigantic")
    labels = {"preset": "gigantic", "result": "miss"}
    assert REGISTRY.get_sample_value("dubline_model_cache_requests_total", labels) is None


def test_the_networks_used_least_recently_leave_the_device(
    cache: model_cache.ModelCache, weights: StubWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[None] = []
    monkeypatch.setattr(model_cache.device, "release_memory", lambda: released.append(None))
    for version in ("a", "b", "c", "a", "d"):
        get(cache, version)
    assert counted("bytes") == 3 * MB
    assert released == [None]
    get(cache, "a")
    assert weights.opened_versions == ["a", "b", "c", "d"]
    get(cache, "b")
    assert weights.opened_versions == ["a", "b", "c", "d", "b"]


@pytest.mark.usefixtures("_memory_is_kept")
def test_networks_larger_than_the_budget_are_held_alone(cache: model_cache.ModelCache) -> None:
    for version in ("a", "b", "large"):
        get(cache, version)
    assert counted("bytes") == 5 * MB
    get(cache, "a")
    assert counted("bytes") == MB


def test_weights_that_are_nowhere_are_replaced_unless_they_are_pinned(
    cache: model_cache.ModelCache, weights: StubWeights
) -> None:
    assert get(cache, "gone", pushed=False) is cache.get("tiny")
    assert weights.opened_versions == [released_sha256("tiny")]
    with pytest.raises(WeightsUnusableError):
        get(cache, "gone")


def test_a_claim_names_the_networks_on_the_device(cache: model_cache.ModelCache) -> None:
    get(cache, "a")
    assert cache.held() == ["tiny:a"]
    cache.get("tiny")
    assert cache.held() == ["tiny:a", f"tiny:{released_sha256('tiny')}", "tiny:"]
