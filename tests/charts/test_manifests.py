from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import pytest

from dubline.api.waiting import WAIT_MAX_S
from dubline.orchestration import commands
from dubline.orchestration.settings import (
    ApiSettings,
    BrokerSettings,
    BucketSettings,
    DatabaseSettings,
    LimitSettings,
    LogSettings,
    MaintenanceSettings,
    MetricsSettings,
    ScalingSettings,
    Settings,
)
from dubline.worker.settings import LeaseSettings, ProvenanceSettings, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    Render = Callable[..., list[dict[str, Any]]]

SECRETS = {
    "DUBLINE_DATABASE_URL": "postgresql+psycopg://u:p@h:5432/d",
    "DUBLINE_API_RATES_URL": "redis://h:6379/0",
    "DUBLINE_BROKER_URL": "redis://h:6379/0",
    "DUBLINE_BUCKET_ACCESS_KEY": "a",
    "DUBLINE_BUCKET_SECRET_KEY": "s",
}
READS: dict[str, tuple[type[Settings], ...]] = {
    "api": (
        *(ApiSettings, DatabaseSettings, BucketSettings, LimitSettings),
        *(LogSettings, MetricsSettings, ScalingSettings),
    ),
    "maintenance": (
        *(MaintenanceSettings, DatabaseSettings, BrokerSettings, ScalingSettings),
        *(BucketSettings, LimitSettings, LogSettings, MetricsSettings),
    ),
    "prober": (
        *(DatabaseSettings, BrokerSettings, BucketSettings),
        *(LeaseSettings, LimitSettings, LogSettings, MetricsSettings, WorkerSettings),
    ),
    "worker": (
        *(DatabaseSettings, BrokerSettings, BucketSettings),
        *(LeaseSettings, LogSettings, MetricsSettings, ProvenanceSettings, WorkerSettings),
    ),
}
OTHER_VARIABLES = {"HOME"}
#: Groups with the same variables in every process that reads them.
SHARED = (
    *(DatabaseSettings, BrokerSettings, BucketSettings),
    *(LeaseSettings, LimitSettings, LogSettings, MetricsSettings),
)


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the pod specifications by component, those of workers by `worker-POOL`."""
    return {
        one["metadata"]["name"].removeprefix("dubline-"): one["spec"]["template"]["spec"]
        for one in objects
        if one["kind"] in {"Deployment", "Job"}
    }


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Return the container's variables, with placeholders for secrets."""
    return {one["name"]: one.get("value", SECRETS.get(one["name"], "")) for one in container["env"]}


def test_no_process_is_root_or_can_write_outside_its_volumes(render: Render, values: tuple[str, ...]) -> None:
    for name, pod in pods(render(*values)).items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] is (name == "scaler"), name
        for container in pod["containers"]:
            allowed = container["securityContext"]
            assert allowed["readOnlyRootFilesystem"], name
            assert not allowed["allowPrivilegeEscalation"], name
            assert allowed["capabilities"] == {"drop": ["ALL"]}, name
            writable = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
            assert writable == [{"name": "scratch", "mountPath": "/tmp"}], name  # noqa: S108
        assert all("emptyDir" in volume for volume in pod["volumes"] if volume["name"] == "scratch"), name


def test_selectors_match_pods_of_their_own_component_only(render: Render, values: tuple[str, ...]) -> None:
    objects = render(*values)
    deployments = [one for one in objects if one["kind"] == "Deployment"]
    for one in deployments:
        wanted = one["spec"]["selector"]["matchLabels"].items()
        found = [other for other in deployments if wanted <= other["spec"]["template"]["metadata"]["labels"].items()]
        assert found == [one]
    (service,) = (one for one in objects if one["kind"] == "Service")
    labels = {one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"] for one in deployments}
    chosen = [name for name, found in labels.items() if service["spec"]["selector"].items() <= found.items()]
    assert chosen == ["dubline-api"]


@pytest.mark.parametrize("component", sorted(READS))
def test_the_variables_of_each_process_are_valid_settings(
    render: Render, values: tuple[str, ...], component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [pod for name, pod in pods(render(*values)).items() if name.split("-")[0] == component]
    assert found
    for pod in found:
        variables = environment(pod["containers"][0])
        with monkeypatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            read = {group: group.read() for group in READS[component]}
        known = {f"{group.model_config['env_prefix']}{field}".upper() for group in read for field in group.model_fields}
        assert set(variables) - OTHER_VARIABLES <= known


@pytest.mark.parametrize("group", SHARED)
def test_every_process_that_reads_a_setting_is_given_the_same(
    render: Render, values: tuple[str, ...], group: type[Settings]
) -> None:
    prefix = group.model_config["env_prefix"]
    given = {}
    for name, pod in pods(render(*values)).items():
        if group in READS.get(name.split("-")[0], ()):
            variables = environment(pod["containers"][0])
            given[name] = {variable: value for variable, value in variables.items() if variable.startswith(prefix)}
    assert given
    assert all(one == next(iter(given.values())) for one in given.values()), given


def test_the_maintenance_process_has_the_settings_of_every_command() -> None:
    # docs/operations.md: the operator's commands are run in its pod.
    modules = [import_module(f"{commands.__name__}.{one.name}") for one in iter_modules(commands.__path__)]
    read = {one for module in modules for one in vars(module).values() if isinstance(one, type)}
    assert {one for one in read if issubclass(one, Settings)} <= set(READS["maintenance"])


def test_the_chart_has_the_defaults_of_the_service(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    own = LimitSettings.read(), LeaseSettings.read(), MaintenanceSettings.read()
    objects = pods(render())
    for component in ("prober", "maintenance"):
        for name, value in environment(objects[component]["containers"][0]).items():
            monkeypatch.setenv(name, value)
    # Only a container has a probe that reads the file.
    maintenance = MaintenanceSettings.read().model_copy(update={"liveness_file": ""})
    assert (LimitSettings.read(), LeaseSettings.read(), maintenance) == own


def maintenance(render: Render, *options: str) -> dict[str, Any]:
    found = [one for one in render(*options) if one["kind"] == "Deployment"]
    (deployment,) = (one for one in found if one["metadata"]["name"] == "dubline-maintenance")
    return dict(deployment["spec"])


def test_there_is_a_standby_maintenance_process(render: Render) -> None:
    assert maintenance(render)["replicas"] == 2
    assert maintenance(render, "--set", "maintenance.replicas=1")["replicas"] == 1


def test_values_under_the_old_name_control_are_accepted(render: Render) -> None:
    old = 'control={"replicas": 3, "relayS": 0.7, "janitorS": 9, "rescueS": 2, "podAnnotations": {"a": "b"}}'
    new = old.replace("control", "maintenance").replace("relayS", "publishS").replace("janitorS", "cleanS")
    assert maintenance(render, "--set-json", old) == maintenance(render, "--set-json", new)
    assert maintenance(render, "--set-json", old) != maintenance(render)


def test_no_secret_is_written_into_an_object(render: Render, values: tuple[str, ...]) -> None:
    objects = render(*values)
    assert "Secret" not in {one["kind"] for one in objects}
    for pod in pods(objects).values():
        for one in pod["containers"][0]["env"]:
            assert one["name"] not in SECRETS or "secretKeyRef" in one["valueFrom"]


def test_only_workers_request_a_gpu_and_none_with_a_count_of_0(render: Render) -> None:
    def requesters(*options: str) -> list[str]:
        found = pods(render(*options)).items()
        return [name for name, pod in found if "nvidia.com/gpu" in pod["containers"][0]["resources"]["limits"]]

    assert requesters() == ["worker-default"]
    assert requesters("--set", "worker.gpu.count=0") == []


def test_the_migration_runs_before_all_other_objects_exist(render: Render) -> None:
    (job,) = (one for one in render() if one["kind"] == "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    # It may use no object of the release, not even the service account.
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]


def test_the_migration_may_be_of_a_newer_version_than_the_api(render: Render) -> None:
    def image(tags: str, component: str) -> str:
        return str(pods(render("--set-string", tags))[component]["containers"][0]["image"])

    assert image("images.api.tag=1", "migrate") == image("images.api.tag=1", "api") == "dubline-api:1"
    # New workers need new tables.
    both = "images.api.tag=1,images.worker.tag=2,migrate.tag=2"
    assert [image(both, name) for name in ("migrate", "api")] == ["dubline-api:2", "dubline-api:1"]


def test_large_numbers_are_rendered_without_an_exponent(render: Render) -> None:
    found = pods(render("--set", "limits.uploadBytes=5000000000,podSecurityContext.runAsUser=1000650000"))
    assert environment(found["api"]["containers"][0])["DUBLINE_LIMIT_UPLOAD_BYTES"] == "5000000000"
    assert found["api"]["securityContext"]["runAsUser"] == 1000650000


@pytest.mark.parametrize("component", ["prober", "worker-default"])
def test_probes_of_workers_use_the_liveness_file_only(render: Render, component: str) -> None:
    (container,) = pods(render())[component]["containers"]
    file = environment(container)["DUBLINE_WORKER_LIVENESS_FILE"]
    probes = [container[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert all(file in probe["exec"]["command"] for probe in probes)
    # A quarantined worker writes into the file.
    assert container["readinessProbe"]["exec"]["command"] == ["test", "-f", file, "-a", "!", "-s", file]
    assert float(environment(container)["DUBLINE_WORKER_POLL_S"]) == WorkerSettings.read().poll_s


def test_an_api_pod_has_the_time_of_the_longest_request_to_stop(render: Render) -> None:
    pod = pods(render())["api"]
    *_, delay_s = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    # A request may arrive until the end of the delay, and wait as long as it may. Some time is left for its response.
    assert pod["terminationGracePeriodSeconds"] >= int(delay_s) + WAIT_MAX_S + 5


MEASURED = ("api", "maintenance", "prober", "worker-default")


def annotations(objects: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return the annotations of the pods by name of their Deployment."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"].get("annotations", {})
        for one in objects
        if one["kind"] == "Deployment"
    }


@pytest.mark.parametrize("component", MEASURED)
def test_the_port_of_metrics_is_the_one_that_is_scraped(render: Render, component: str) -> None:
    objects = render("--set", f"metrics.port=9999,{component.split('-', maxsplit=1)[0]}.podAnnotations.a=b")
    (container,) = pods(objects)[component]["containers"]
    assert {"name": "metrics", "containerPort": 9999} in container["ports"]
    assert environment(container)["DUBLINE_METRICS_PORT"] == "9999"
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": "9999", "prometheus.io/path": "/metrics"}
    assert annotations(objects)[f"dubline-{component}"] == scraped | {"a": "b"}


@pytest.mark.parametrize("component", MEASURED)
def test_without_a_port_of_metrics_nothing_is_scraped(render: Render, component: str) -> None:
    objects = render("--set", "metrics.port=0,metrics.podMonitor=true")
    (container,) = pods(objects)[component]["containers"]
    assert environment(container)["DUBLINE_METRICS_PORT"] == "0"
    assert "metrics" not in {port["name"] for port in container.get("ports", ())}
    assert annotations(objects)[f"dubline-{component}"] == {}
    assert "PodMonitor" not in {one["kind"] for one in objects}


def test_a_pod_monitor_selects_every_measured_pod_by_its_port(render: Render) -> None:
    objects = render("--set", "metrics.podMonitor=true")
    (monitor,) = (one for one in objects if one["kind"] == "PodMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    for one in objects:
        if one["kind"] == "Deployment":
            assert wanted <= one["spec"]["template"]["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "metrics"


@pytest.mark.parametrize("component", MEASURED)
def test_the_receiver_of_traces_is_given_to_each_process(render: Render, component: str) -> None:
    name = "OTEL_EXPORTER_OTLP_ENDPOINT"
    (container,) = pods(render())[component]["containers"]
    assert name not in environment(container)
    (container,) = pods(render("--set", "tracing.endpoint=http://collector:4318"))[component]["containers"]
    assert environment(container)[name] == "http://collector:4318"
