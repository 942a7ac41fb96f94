"""The scaler of the chart: the rights that its calls need, its account, and its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dubline.orchestration.cluster.rights import RIGHTS, template
from dubline.orchestration.settings import ScalingSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def own(render: Render, chart: Path) -> list[dict[str, Any]]:
    return render("--values", str(chart / "ci" / "own-values.yaml"))


def of(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    component = "app.kubernetes.io/component"
    return [one for one in objects if one["kind"] == kind and one["metadata"]["labels"][component] == "scaler"]


def test_the_rules_in_the_chart_are_those_of_the_code(chart: Path) -> None:
    assert (chart / "templates" / "scaler" / "_rules.tpl").read_text() == template()


def test_the_role_has_the_rights_for_the_pools_and_no_other(own: list[dict[str, Any]]) -> None:
    (role,) = of(own, "Role")
    deployments = [one["metadata"]["name"] for one in own if one["kind"] == "Deployment"]
    workers = [name for name in deployments if name.startswith("dubline-worker-")]
    expected = [
        {"apiGroups": [right.group], "resources": [right.resource], "verbs": list(right.verbs)}
        | ({"resourceNames": sorted(set(workers))} if right.named else {})
        for right in RIGHTS
    ]
    assert role["rules"] == expected
    (binding,) = of(own, "RoleBinding")
    (account,) = of(own, "ServiceAccount")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == [account["metadata"]["name"]]
    (deployment,) = of(own, "Deployment")
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == account["metadata"]["name"]


def test_the_pools_of_the_scaler_have_deployments(own: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    (deployment,) = of(own, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", ""))
    pools = ScalingSettings.read().pools
    names = {one["metadata"]["name"] for one in own if one["kind"] == "Deployment"}
    assert [pool.name for pool in pools] == ["cheap", "fast"]
    assert {pool.deployment for pool in pools} <= names


@pytest.mark.parametrize("scaling", ["none", "keda"])
def test_without_it_there_is_no_scaler_and_no_role(render: Render, scaling: str) -> None:
    objects = render("--set", f"scaling={scaling}")
    assert [one for kind in ("Deployment", "Role", "ServiceAccount") for one in of(objects, kind)] == []
