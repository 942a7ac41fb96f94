from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dubline.embedded.application import application
from dubline.embedded.stack import Stack

TOP = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as the real Compose reads them."""
    beside = Path(sys.executable).with_name("docker-compose")
    program = str(beside) if beside.exists() else shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    command = [program, "--file", TOP / "docker-compose.yml", "--profile", "*", "config"]
    subprocess.run([*command, "--quiet"], check=True)
    shown = subprocess.run([*command, "--format", "json"], check=True, capture_output=True)
    return dict(json.loads(shown.stdout)["services"])


def test_compose_runs_the_same_processes_as_the_embedded_stack(services: dict[str, Any]) -> None:
    for part in application(api_port=8000):
        name = "key" if part.name == "create-key" else part.name
        command = services[name]["command"]
        if services[name]["image"] == "dubline-worker":
            command = ["python", "-m", "dubline.worker", *command]
        assert command[1:] == list(part.argv[1:])


def test_compose_gives_our_processes_the_same_settings(services: dict[str, Any]) -> None:
    stack = Stack()
    try:
        stack.start(only=())
        ours = {name for name in stack.environ if name.startswith("DUBLINE_")}
    finally:
        stack.stop()
    kept = {"DUBLINE_DATABASE_URL", *(name for name in ours if "_BUCKET_" in name)}
    for name, service in services.items():
        if service["image"].startswith("dubline-"):
            works = service["image"] == "dubline-worker"
            more = {"DUBLINE_WORKER_SCRATCH_DIR"} if works else set()
            if works or name == "maintenance":
                more |= {"DUBLINE_BROKER_URL"}
            assert set(service["environment"]) == kept | more, name


def test_nothing_is_published_beyond_this_machine(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name


def test_our_containers_are_confined(services: dict[str, Any]) -> None:
    for service in services.values():
        if service["image"].startswith("dubline-"):
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize(
    ("room", "copied"), [("api", {"api", "orchestration"}), ("worker", {"models", "orchestration", "worker"})]
)
def test_an_image_gets_only_the_rooms_it_runs_and_no_root(room: str, copied: set[str]) -> None:
    lines = (TOP / room / "Dockerfile").read_text().splitlines()
    copies = [line.split() for line in lines if line.startswith("COPY") and "--from" not in line]
    rooms = {words[1].rstrip("/") for words in copies if words[1].endswith("/")}
    assert rooms == copied
    assert "USER 10001" in lines
    if room == "worker":
        # The volume of the scratch folder gets the owner that the folder has in the image.
        assert lines.index("RUN install -d -o 10001 /scratch") < lines.index("USER 10001")
    assert any("torch" in line for line in lines if line.startswith("RUN")) == (room == "worker")
