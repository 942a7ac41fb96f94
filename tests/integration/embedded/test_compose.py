from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from dubline.embedded.application import PREPARE, TENANT, application
from dubline.embedded.stack import Stack

TOP = Path(__file__).parents[3]
#: What the commands of health checks name, and tests replace.
OF_CONTAINER = {"file": "/tmp/liveness", "port": "8000"}  # noqa: S108


@pytest.fixture(scope="module")
def configuration() -> dict[str, Any]:
    """The file with all profiles, as parsed by Docker Compose."""
    local = Path(sys.executable).with_name("docker-compose")
    program = str(local) if local.exists() else shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    command = [program, "--file", TOP / "docker-compose.yml", "--profile", "*", "config"]
    subprocess.run([*command, "--quiet"], check=True)
    shown = subprocess.run([*command, "--format", "json"], check=True, capture_output=True)
    return dict(json.loads(shown.stdout))


@pytest.fixture(scope="module")
def services(configuration: dict[str, Any]) -> dict[str, Any]:
    return dict(configuration["services"])


def test_compose_runs_the_processes_of_the_embedded_stack(services: dict[str, Any]) -> None:
    for part in application(api_port=8000):
        if part.name == PREPARE:
            # Here a service each, because they wait for different servers.
            setup = [services[name]["command"][2:] for name in ("migrate", "create-bucket", "key")]
            assert setup == [
                ["dubline.orchestration", "migrate"],
                ["dubline.orchestration", "create-bucket"],
                ["dubline.orchestration", "keys", "create", TENANT],
            ]
            continue
        command = services[part.name]["command"]
        if services[part.name]["image"] == "dubline-worker":
            command = ["python", "-m", "dubline.worker", *command]
        assert command[1:] == list(part.argv[1:])


def test_compose_has_the_settings_of_the_embedded_stack(services: dict[str, Any]) -> None:
    stack = Stack()
    try:
        stack.start(only=())
        names = {name for name in stack.environ if name.startswith("DUBLINE_")}
    finally:
        stack.stop()
    common = {"DUBLINE_DATABASE_URL", "DUBLINE_METRICS_PORT", *(name for name in names if "_BUCKET_" in name)}
    for name, service in services.items():
        if service["image"].startswith("dubline-"):
            is_worker = service["image"] == "dubline-worker"
            more = {"DUBLINE_WORKER_SCRATCH_DIR", "DUBLINE_WORKER_LIVENESS_FILE"} if is_worker else set()
            more |= {"DUBLINE_MAINTENANCE_LIVENESS_FILE"} if name == "maintenance" else set()
            more |= {"DUBLINE_API_RATES_URL"} if name == "api" else set()
            more |= {"DUBLINE_WORKER_POOL", "DUBLINE_WORKER_DEVICE"} if name == "renderer-gpu" else set()
            if is_worker or name == "maintenance":
                more |= {"DUBLINE_BROKER_URL"}
            assert set(service["environment"]) == common | more, name


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name


def test_every_service_that_runs_has_a_probe_and_a_limit_on_memory(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert int(service["mem_limit"]) > 0, name
        assert ("healthcheck" in service) == (service.get("restart") == "unless-stopped"), name


def healthcheck(name: str, **replaced: object) -> bool:
    """Run the health check of a service on this machine, with other texts in its command; return whether it passes."""
    service = yaml.safe_load((TOP / "docker-compose.yml").read_text())["services"][name]
    how, *words = service["healthcheck"]["test"]
    for old, new in replaced.items():
        words = [word.replace("$$", "$").replace(OF_CONTAINER[old], str(new)) for word in words]
    command = ["sh", "-c", *words] if how == "CMD-SHELL" else [sys.executable, *words[1:]]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("name", ["prober", "renderer", "maintenance"])
def test_the_probe_of_a_process_reads_the_age_of_its_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "liveness"
    assert not healthcheck(name, file=file)
    file.touch()
    assert healthcheck(name, file=file)
    old_s = time.time() - 3600
    os.utime(file, (old_s, old_s))
    assert not healthcheck(name, file=file)


@pytest.mark.parametrize("status", [200, 503])
def test_the_probe_of_the_api_reads_its_readiness(status: int) -> None:
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.handle_request, daemon=True).start()
        assert healthcheck("api", port=server.server_port) == (status == 200)
    assert asked == ["/health/ready"]


def test_the_broker_asks_for_the_password_that_its_clients_send(services: dict[str, Any]) -> None:
    command = services["broker"]["command"]
    password = command[command.index("--requirepass") + 1]
    assert password
    for name in ("api", "maintenance", "prober", "renderer"):
        urls = [value for key, value in services[name]["environment"].items() if value.startswith("redis://")]
        assert [urlsplit(url).password for url in urls] == [password], name
    assert password in services["broker"]["healthcheck"]["test"]


def test_profiles_add_services_and_change_no_other(services: dict[str, Any]) -> None:
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    added = {"key": ["key"], "renderer-gpu": ["gpu"], "prometheus": ["metrics"], "grafana": ["metrics"]}
    assert profiles == added
    (device,) = services["renderer-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    for name in ("prometheus", "grafana"):
        assert services[name]["image"].count(":") == 1
        assert not services[name]["image"].endswith(":latest")


def test_prometheus_scrapes_every_process_with_metrics(configuration: dict[str, Any]) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML, of the dev extra, is not installed")
    services, written = configuration["services"], yaml.safe_load(configuration["configs"]["prometheus"]["content"])
    (found,) = written["scrape_configs"][0]["dns_sd_configs"]
    running = {name for name, one in services.items() if one["image"].startswith("dubline-") and "restart" in one}
    assert set(found["names"]) == running
    assert {services[name]["environment"]["DUBLINE_METRICS_PORT"] for name in running} == {str(found["port"])}
    (rules,) = written["rule_files"]
    (mounted,) = (one for one in services["prometheus"]["volumes"] if one["type"] == "bind")
    assert (Path(mounted["source"]) / Path(rules).relative_to(mounted["target"])).is_file()


def test_grafana_reads_prometheus_and_the_folder_of_the_dashboard(configuration: dict[str, Any]) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML, of the dev extra, is not installed")
    written = {name: yaml.safe_load(one["content"]) for name, one in configuration["configs"].items()}
    (source,) = written["grafana-datasource"]["datasources"]
    assert urlsplit(source["url"]).hostname in configuration["services"]
    (provider,) = written["grafana-dashboards"]["providers"]
    mounted = configuration["services"]["grafana"]["volumes"]
    assert provider["options"]["path"] in {one["target"] for one in mounted}


def test_dubline_containers_are_confined(services: dict[str, Any]) -> None:
    for service in services.values():
        if service["image"].startswith("dubline-"):
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize(
    ("package", "copied"), [("api", {"api", "orchestration"}), ("worker", {"models", "orchestration", "worker"})]
)
def test_an_image_contains_only_its_packages_and_no_root_process(package: str, copied: set[str]) -> None:
    lines = (TOP / package / "Dockerfile").read_text().splitlines()
    copies = [line.split() for line in lines if line.startswith("COPY") and "--from" not in line]
    folders = {words[1].rstrip("/") for words in copies if words[1].endswith("/")}
    assert folders == copied
    assert "USER 10001" in lines
    if package == "worker":
        # A volume gets the owner of its folder in the image.
        assert lines.index("RUN install -d -o 10001 /scratch") < lines.index("USER 10001")
    assert any("torch==" in line for line in lines if not line.startswith("#")) == (package == "worker")
