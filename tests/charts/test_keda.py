"""The ScaledObjects, and that only one thing sets the number of workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from dubline.api.schemas.scaling import PoolAnswer
from dubline.orchestration.settings import ScalingSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.charts.conftest import Helm

    Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def objects(render: Render, chart: Path) -> list[dict[str, Any]]:
    return render("--values", str(chart / "ci" / "keda-values.yaml"))


def of(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def test_keda_scales_each_pool_as_the_setting_of_the_pools_says(
    objects: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (container,) = of(objects, "Deployment")["dubline-api"]["spec"]["template"]["spec"]["containers"]
    (text,) = (one["value"] for one in container["env"] if one["name"] == "DUBLINE_SCALING_POOLS")
    monkeypatch.setenv("DUBLINE_SCALING_POOLS", text)
    pools = ScalingSettings.read().pools
    scaled = of(objects, "ScaledObject")
    assert [pool.deployment for pool in pools] == list(scaled)
    for pool in pools:
        spec, (trigger,) = scaled[pool.deployment]["spec"], scaled[pool.deployment]["spec"]["triggers"]
        assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (pool.floor, pool.ceiling)
        assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        assert down["stabilizationWindowSeconds"] >= pool.cold_start_s
        expected = {"backlog": ("backlog_s", pool.target_s), "depth": ("jobs", pool.jobs_per_worker)}[pool.basis]
        read = trigger["metadata"]
        assert (read["valueLocation"], float(read["targetValue"])) == expected
        assert read["valueLocation"] in PoolAnswer.model_fields
        assert urlsplit(read["url"]).path == f"/v1/scaling/{pool.name}"


def test_keda_stops_a_pool_that_may_have_no_workers(render: Render) -> None:
    pools = [{"name": "open"}, {"name": "closed", "scaling": {"ceiling": 0}}]
    scaled = of(render("--set-json", json.dumps({"scaling": "keda", "pools": pools})), "ScaledObject")
    paused = {name: one["metadata"].get("annotations") for name, one in scaled.items()}
    assert paused == {
        "dubline-worker-open": None,
        "dubline-worker-closed": {"autoscaling.keda.sh/paused-replicas": "0"},
    }
    # The HorizontalPodAutoscaler of KEDA needs one at least.
    assert all(one["spec"]["maxReplicaCount"] >= 1 for one in scaled.values())


def test_keda_calls_the_service_of_the_api_with_its_own_key(objects: list[dict[str, Any]]) -> None:
    (service,) = of(objects, "Service").values()
    (authentication,) = of(objects, "TriggerAuthentication").values()
    for one in of(objects, "ScaledObject").values():
        (trigger,) = one["spec"]["triggers"]
        url = urlsplit(trigger["metadata"]["url"])
        assert (url.hostname, url.port) == (f"{service['metadata']['name']}.default.svc", 80)
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    (reference,) = authentication["spec"]["secretTargetRef"]
    assert reference == {"parameter": "token", "name": "dubline", "key": "scaling-key"}


@pytest.mark.parametrize("scaling", ["none", "own", "keda"])
def test_exactly_one_thing_sets_the_number_of_workers(render: Render, scaling: str) -> None:
    objects = render("--set", f"scaling={scaling}")
    deployments = of(objects, "Deployment")
    present = {
        "none": "replicas" in deployments["dubline-worker-default"]["spec"],
        "own": "dubline-scaler" in deployments,
        "keda": bool(of(objects, "ScaledObject")),
    }
    assert [name for name, there in present.items() if there] == [scaling]


@pytest.mark.parametrize("wrong", ['"both"', '["own", "keda"]', "true", '"own,keda"'])
def test_two_autoscalers_at_once_are_refused(helm: Helm, chart: Path, wrong: str) -> None:
    refused = helm("template", "dubline", str(chart), "--set-json", f"scaling={wrong}")
    assert refused.returncode != 0
    assert "/scaling" in refused.stderr


def test_a_floor_above_the_ceiling_is_refused(helm: Helm, chart: Path) -> None:
    refused = helm("template", "dubline", str(chart), "--set", "worker.scaling.floor=11")
    assert refused.returncode != 0
    assert "more than its ceiling, 10" in refused.stderr
