"""NetworkPolicies: each component reaches what it uses, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.charts.conftest import Helm

    Render = Callable[..., list[dict[str, Any]]]

PORTS = {"database": 5432, "broker": 6379, "bucket": 443, "apiServer": 6443}
#: The variables that make a process open a connection.
USES = {
    "database": "DUBLINE_DATABASE_URL",
    "broker": ("DUBLINE_BROKER_URL", "DUBLINE_API_RATES_URL"),
    "bucket": "DUBLINE_BUCKET_NAME",
}


def walls(scaling: str = "none", **more: Any) -> str:
    """Return values with policies whose destinations differ by their ports."""
    peers = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    policy: dict[str, Any] = {name: {"peers": peers, "port": port} for name, port in PORTS.items()}
    policy |= {"enabled": True, "clients": {"peers": peers}, "metrics": {"peers": peers}}
    return json.dumps({"networkPolicy": policy, "scaling": scaling} | more)


def reachable(objects: list[dict[str, Any]], labels: dict[str, str]) -> set[int]:
    """Return the ports to which pods with the labels may open a TCP connection, without that of the name server."""
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    mine = [one for one in policies if one["podSelector"]["matchLabels"].items() <= labels.items()]
    assert any("Egress" in one["policyTypes"] for one in mine), "everything is allowed"
    rules = [rule for one in mine for rule in one.get("egress", ())]
    return {port["port"] for rule in rules for port in rule["ports"]} - {53}


@pytest.mark.parametrize("scaling", ["none", "own", "keda"])
def test_every_process_reaches_exactly_the_servers_it_has_settings_for(render: Render, scaling: str) -> None:
    objects = render("--set-json", walls(scaling))
    for one in objects:
        if one["kind"] not in {"Deployment", "Job"}:
            continue
        labels = one["spec"]["template"]["metadata"]["labels"]
        variables = {variable["name"] for variable in one["spec"]["template"]["spec"]["containers"][0]["env"]}
        expected = {
            PORTS[name] for name, used in USES.items() if variables & ({used} if isinstance(used, str) else {*used})
        }
        expected |= {PORTS["apiServer"]} if one["metadata"]["name"].endswith("-scaler") else set()
        assert reachable(objects, labels) == expected, one["metadata"]["name"]


def test_an_api_that_counts_for_itself_does_not_reach_the_broker(render: Render) -> None:
    objects = render("--set-json", walls(secret={"keys": {"ratesUrl": ""}}))
    (api,) = (one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"] == "dubline-api")
    assert PORTS["broker"] not in reachable(objects, api["spec"]["template"]["metadata"]["labels"])


def test_the_receiver_of_traces_is_reached_only_if_there_is_one(render: Render) -> None:
    labels = {"app.kubernetes.io/name": "dubline", "app.kubernetes.io/instance": "dubline"}
    labels["app.kubernetes.io/component"] = "worker"
    assert 4318 not in reachable(render("--set-json", walls()), labels)
    assert 4318 in reachable(render("--set-json", walls(tracing={"endpoint": "http://collector:4318"})), labels)


def test_only_the_api_and_ports_of_metrics_may_be_called(render: Render) -> None:
    policies = [one for one in render("--set-json", walls("keda")) if one["kind"] == "NetworkPolicy"]
    called = {
        (one["metadata"]["name"], port["port"])
        for one in policies
        for rule in one["spec"].get("ingress", ())
        for port in rule["ports"]
    }
    assert called == {("dubline-api-ingress", "http"), ("dubline-metrics", "metrics")}
    senders = next(one["spec"]["ingress"] for one in policies if one["metadata"]["name"] == "dubline-api-ingress")
    (keda,) = senders[1]["from"]
    assert keda == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}


@pytest.mark.parametrize("missing", ["database", "broker", "bucket", "clients", "apiServer"])
def test_policies_without_a_destination_are_refused(helm: Helm, chart: Path, missing: str) -> None:
    values = json.loads(walls("own"))
    values["networkPolicy"][missing]["peers"] = []
    refused = helm("template", "dubline", str(chart), "--set-json", json.dumps(values))
    assert refused.returncode != 0
    assert f"/networkPolicy/{missing}/peers" in refused.stderr
