"""The Dockerfiles pin what they install, and install what pyproject.toml asks for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmarks.images import STARTS, instructions, is_sent

ROOT = Path(__file__).parents[2]
EXTRAS = {"api": ("cluster", "tracing"), "worker": ("worker", "provenance", "tracing")}
#: Installed before the requirements, to choose its build.
TORCH = "torch==2.13.0"


def wanted(image: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        *project["dependencies"],
        *(one for extra in EXTRAS[image] for one in project["optional-dependencies"][extra]),
    ]


def pinned(image: str) -> dict[str, str]:
    lines = [line for line in (ROOT / image / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    if image == "worker":
        lines.append(TORCH)
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found.items()}


@pytest.mark.parametrize("image", sorted(STARTS))
def test_every_dependency_of_an_image_has_a_version_in_its_range(image: str) -> None:
    requirements = pytest.importorskip("packaging.requirements")
    versions = pinned(image)
    for line in wanted(image):
        one = requirements.Requirement(line)
        assert one.name in versions, f"add {line} to {image}/requirements.txt"
        assert one.specifier.contains(versions[one.name]), f"{one.name} {versions[one.name]} is not {one.specifier}"


@pytest.mark.parametrize("image", sorted(STARTS))
def test_an_image_has_a_pinned_base_a_build_stage_and_a_user(image: str) -> None:
    found = instructions((ROOT / image / "Dockerfile").read_text())
    bases = [rest.split()[0] for word, rest in found if word == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", base) for base in bases)
    last = found[[word for word, _ in found].index("FROM", 1) :]
    assert ("COPY", "--from=build /opt/dubline /opt/dubline") in last
    assert ("USER", "10001") in last
    assert not any("pip" in rest for word, rest in last if word == "RUN")
    assert ("torch==" in (ROOT / image / "Dockerfile").read_text()) == (image == "worker")
    assert "mamba" not in (ROOT / image / "requirements.txt").read_text()


def test_the_build_gets_only_what_the_images_copy() -> None:
    sent = [f"{name}/dubline/x.py" for name in ("api", "models", "orchestration", "worker")]
    assert all(is_sent(path) for path in [*sent, "pyproject.toml", "api/requirements.txt"])
    kept = ["tests/conftest.py", ".git/config", ".env", "demo/batch.jsonl", "api/dubline/api/__pycache__/app.pyc"]
    assert [path for path in kept if is_sent(path)] == []


@pytest.mark.parametrize("image", sorted(STARTS))
def test_hadolint_finds_nothing(image: str) -> None:
    local = Path(sys.executable).with_name("hadolint")
    program = str(local) if local.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint, of the dev extra, is not installed")
    found = subprocess.run([program, ROOT / image / "Dockerfile"], check=False, capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("", 0)


def test_the_modules_that_are_started_exist() -> None:
    words = [word for starts in STARTS.values() for arguments, _ in starts for word in arguments]
    modules = {name for word in words for name in re.findall(r"dubline\.[\w.]+", word)}
    assert len(modules) > 4
    assert [name for name in modules if find_spec(name) is None] == []
