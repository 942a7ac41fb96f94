from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from dubline.options.render import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.charts.conftest import Helm

    Render = Callable[..., list[dict[str, Any]]]


def deployments(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the specifications of the pools' Deployments by pool."""
    return {
        one["metadata"]["labels"]["dubline/pool"]: one["spec"]
        for one in objects
        if one["kind"] == "Deployment" and "dubline/pool" in one["metadata"]["labels"]
    }


def pools(render: Render, *pools: dict[str, Any], **worker: Any) -> dict[str, dict[str, Any]]:
    """Render the Deployments of pools."""
    return deployments(render("--set-json", json.dumps({"pools": pools, "worker": worker})))


def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    return dict(deployment["template"]["spec"])


def variable(deployment: dict[str, Any], name: str) -> str | None:
    (container,) = pod(deployment)["containers"]
    return next((one["value"] for one in container["env"] if one["name"] == name), None)


def test_a_pool_has_the_shared_values_that_it_does_not_override(render: Render) -> None:
    gpu = {"name": "gpu", "replicas": 3, "nodeSelector": {"kind": "h200"}}
    cpu = {"name": "cpu", "gpu": {"count": 0}, "tolerations": [], "resources": {"requests": {"cpu": "8"}}}
    found = pools(render, gpu, cpu, tolerations=[{"key": "gpu", "operator": "Exists"}], nodeSelector={"zone": "a"})
    assert [one["replicas"] for one in found.values()] == [3, 1]
    assert pod(found["gpu"])["nodeSelector"] == {"zone": "a", "kind": "h200"}
    assert pod(found["gpu"])["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    # Empty lists and zeros override too.
    assert "tolerations" not in pod(found["cpu"])
    requested = [pod(found[name])["containers"][0]["resources"] for name in ("gpu", "cpu")]
    assert [one["limits"].get("nvidia.com/gpu") for one in requested] == ["1", None]
    assert [one["requests"]["cpu"] for one in requested] == ["2", "8"]
    assert [one["limits"]["cpu"] for one in requested] == ["2", "8"]
    assert [one["requests"]["memory"] for one in requested] == ["4Gi", "4Gi"]


def test_a_pool_may_request_a_slice_or_a_share_of_a_gpu(render: Render) -> None:
    names = {"mig": "nvidia.com/mig-1g.18gb", "shared": "nvidia.com/gpu.shared"}
    found = pools(render, *({"name": pool, "gpu": {"resource": name}} for pool, name in names.items()))
    for pool, name in names.items():
        limits = pod(found[pool])["containers"][0]["resources"]["limits"]
        assert {key: value for key, value in limits.items() if key.startswith("nvidia.com/")} == {name: "1"}


def test_a_volume_for_weights_is_mounted_and_named_to_the_worker(render: Render) -> None:
    source = {"hostPath": {"path": "/var/lib/dubline", "type": "Directory"}}
    found = pools(render, {"name": "shared", "weightsVolume": source}, {"name": "own"})
    assert {"name": "weights", **source} in pod(found["shared"])["volumes"]
    mounts = {one["name"]: one["mountPath"] for one in pod(found["shared"])["containers"][0]["volumeMounts"]}
    assert variable(found["shared"], "DUBLINE_WORKER_WEIGHTS_DIR") == mounts["weights"]
    assert [one["name"] for one in pod(found["own"])["volumes"]] == ["scratch"]


def test_the_values_of_one_worker_are_those_of_the_pool_default(render: Render) -> None:
    (name, found), *others = deployments(render("--set", "worker.replicas=7,worker.preset=tiny")).items()
    assert (name, found["replicas"], others) == ("default", 7, [])
    assert variable(found, "DUBLINE_WORKER_PRESETS") == "tiny,base"
    assert variable(found, "DUBLINE_WORKER_POOL") == "default"


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_released_preset_is_accepted(render: Render, preset: str) -> None:
    found = pools(render, {"name": "a", "presets": [preset]}, {"name": "b"}, preset=preset)
    served = [str(variable(one, "DUBLINE_WORKER_PRESETS")).split(",") for one in found.values()]
    assert served == [[preset], [preset, *sorted(PRESETS - {preset})]]


def test_workers_of_the_default_pool_render_every_released_preset(chart: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML, of the dev extra, is not installed")
    assert set(yaml.safe_load((chart / "values.yaml").read_text())["worker"]["presets"]) == set(PRESETS)


def test_a_worker_has_the_time_of_two_segments_to_stop(render: Render) -> None:
    derived, own = {"name": "derived", "segmentS": 7.5}, {"name": "own", "terminationGracePeriodSeconds": 90}
    found = pools(render, derived, own)
    assert [pod(one)["terminationGracePeriodSeconds"] for one in found.values()] == [75, 90]


def test_a_rollout_waits_for_the_old_worker_and_three_cold_starts(render: Render) -> None:
    quick, slow = {"name": "quick", "scaling": {"coldStartS": 60}}, {"name": "slow", "scaling": {"coldStartS": 1500.5}}
    found = pools(render, quick, slow, segmentS=20)
    assert [one["progressDeadlineSeconds"] for one in found.values()] == [700, 4602]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([{"name": "a"}, {"name": "a", "replicas": 2}], 'two pools have the name "a"'),
        ([{"name": "A"}], "does not match pattern"),
        ([{"name": "a" * 41}], "maxLength"),
        ([{"replicas": 1}], "missing property 'name'"),
        ([{"name": "a", "gpus": 1}], "'gpus' not allowed"),
        ([{"name": "a", "gpu": {"count": 2}}], "maximum"),
        ([{"name": "a", "presets": []}], "minItems"),
        ([{"name": "a", "presets": ["huge"]}], "must be one of"),
    ],
)
def test_a_pool_that_is_not_valid_is_refused(helm: Helm, chart: Path, wrong: list[Any], message: str) -> None:
    refused = helm("template", "dubline", str(chart), "--set-json", json.dumps({"pools": wrong}))
    assert refused.returncode != 0
    assert message in refused.stderr
