"""The tree keeps the shape that packaging and the import contracts rely on."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dubline.api.uploads import PORTRAIT_TYPES, SPEECH_TYPES, UNKNOWN_TYPE
from dubline.models.presets import PRESETS as TRAINED
from dubline.models.weights import RELEASED
from dubline.options.render import PRESETS as OFFERED
from dubline.worker.media.container import CONTAINERS
from dubline.worker.media.image import MEDIA_TYPES

ROOT = Path(__file__).parents[2]
ROOMS = ("api", "models", "orchestration", "worker")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_a_bare_source_root(room: str) -> None:
    namespace = ROOT / room / "dubline"
    assert not (namespace / "__init__.py").exists(), "it would hide the other rooms"
    assert list((ROOT / room).glob("*.py")) == []
    assert list(namespace.glob("*.py")) == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_package_below_a_room_has_an_init(room: str) -> None:
    packages = [path for path in (ROOT / room / "dubline").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert packages
    assert [path.name for path in packages if not (path / "__init__.py").exists()] == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_package_declares_its_types(room: str) -> None:
    packages = {path.parent for path in (ROOT / room / "dubline").glob("*/__init__.py")}
    assert {path.name for path in packages if not (path / "py.typed").exists()} == set()


def test_no_file_of_the_project_matches_gitignore() -> None:
    """The build of a wheel leaves out every file that matches `.gitignore`."""
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("this is no checkout of git, so the files of the project cannot be listed")
    assert listed.stdout.splitlines() == []


def test_the_presets_that_are_offered_are_those_with_released_weights() -> None:
    released = {path.parent.name for path in RELEASED.glob("*/manifest.json")}
    assert set(OFFERED) == released <= set(TRAINED)


def test_importing_the_api_the_client_or_maintenance_loads_no_torch() -> None:
    modules = ["dubline.api.app", "dubline.client.__main__", "dubline.orchestration.maintenance.scheduler"]
    steps = [f"import {module}; assert 'torch' not in sys.modules" for module in modules]
    ran = subprocess.run([sys.executable, "-c", f"import sys; {'; '.join(steps)}"], check=False)
    assert ran.returncode == 0


def children(package: str) -> set[str]:
    """Name the modules and packages directly below a package."""
    (folder,) = [
        ROOT / room / package.replace(".", "/") for room in ROOMS if (ROOT / room / package.replace(".", "/")).is_dir()
    ]
    names = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    return names | {path.parent.name for path in folder.glob("*/__init__.py")}


def test_every_package_is_type_checked_and_has_import_contracts() -> None:
    packages = {
        f"dubline.{path.parent.name}" for room in ROOMS for path in (ROOT / room / "dubline").glob("*/__init__.py")
    }
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert packages == set(settings["importlinter"]["root_packages"])
    assert packages <= set(settings["mypy"]["packages"])


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("Only database imports SQLAlchemy", "dubline.orchestration.database"),
        ("Only storage imports boto3", "dubline.orchestration.storage"),
        ("Only media imports ffmpeg", "dubline.worker.media"),
    ],
)
def test_an_exclusive_import_is_forbidden_everywhere_else(name: str, owner: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one["name"] == name]
    package = owner.rpartition(".")[0]
    listed = {source for source in contract["source_modules"] if source.startswith(f"{package}.")}
    assert listed == {f"{package}.{child}" for child in children(package)} - {owner}


def test_no_file_is_too_long_to_read_at_one_sitting() -> None:
    files = [path for room in (*ROOMS, "tests", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in files}
    assert {path: count for path, count in lines.items() if count > 400} == {}


def test_the_api_lets_in_every_media_type_that_the_prober_knows_and_no_other() -> None:
    assert frozenset({UNKNOWN_TYPE}).union(*(container.declared_as for container in CONTAINERS)) == SPEECH_TYPES
    assert {*MEDIA_TYPES.values(), "image/jpg", "image/pjpeg", UNKNOWN_TYPE} == PORTRAIT_TYPES
