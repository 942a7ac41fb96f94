from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from dubline.orchestration.domain.errors import EncoderFailedError
from dubline.worker.media import ffmpeg_build
from dubline.worker.rendering import version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[4]
CPU = torch.device("cpu")


#: Of one processor, shortened, and the beginning of the next.
EPYC = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
cpu MHz\t\t: 2400.000

processor\t: 1
vendor_id\t: AuthenticAMD
"""


def hashed(device: torch.device = CPU) -> str:
    return version.renderer_sha256.__wrapped__(device)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with two source files, which is the whole renderer."""
    (tmp_path / "part").mkdir()
    (tmp_path / "a.py").write_text("A = 1")
    (tmp_path / "part" / "b.py").write_text("B = 1")
    described(tmp_path, monkeypatch, EPYC)
    module = SimpleNamespace(__name__="renderer", __path__=[str(tmp_path)])
    monkeypatch.setattr(version._sources, "__defaults__", ((module,),))
    return tmp_path


CHANGES: dict[str, Callable[[Path, pytest.MonkeyPatch], object]] = {
    "a changed file": lambda package, _patch: (package / "part" / "b.py").write_text("B = 2"),
    "a moved file": lambda package, _patch: (package / "part" / "b.py").rename(package / "b.py"),
    "a new file": lambda package, _patch: (package / "c.py").write_text(""),
    "another torch": lambda _package, patch: patch.setattr(
        metadata, "version", lambda name, read=metadata.version: "9" if name == "torch" else read(name)
    ),
    "another encoder": lambda _package, patch: patch.setattr(
        subprocess, "run", lambda *_args, **_named: SimpleNamespace(stdout=b"ffmpeg version 9")
    ),
    "another instruction set": lambda _package, patch: patch.setattr(
        torch.backends.cpu, "get_cpu_capability", lambda: "another"
    ),
    "another maker": lambda package, patch: described(package, patch, EPYC.replace("AMD", "Intel")),
    "another model": lambda package, patch: described(package, patch, EPYC.replace(": 17", ": 1")),
}


def described(folder: Path, patch: pytest.MonkeyPatch, processors: str) -> None:
    """Let the system have other processors."""
    (folder / "cpuinfo").write_text(processors)
    patch.setattr(version, "PROCESSORS", folder / "cpuinfo")


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_pixels_changes_the_version(package: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = hashed()
    assert hashed() == before
    CHANGES[name](package, monkeypatch)
    assert hashed() != before


@pytest.mark.usefixtures("package")
def test_the_processor_counts_beside_a_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    before = hashed(torch.device("cuda"))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
    assert hashed(torch.device("cuda")) != before


def test_the_number_and_the_clock_of_processors_keep_the_version(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hashed()
    described(package, monkeypatch, EPYC.replace("2400", "3600") + "\nprocessor\t: 2\nvendor_id\t: AuthenticAMD\n")
    assert hashed() == before


def test_a_system_that_does_not_describe_its_processors_has_a_version(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version, "PROCESSORS", package / "absent")
    assert re.fullmatch("[0-9a-f]{64}", hashed())


def test_files_that_are_no_source_keep_the_version(package: Path) -> None:
    before = hashed()
    (package / "a.pyc").write_bytes(b"compiled")
    (package / "README.md").write_text("about")
    assert hashed() == before


#: What source files of the renderer import besides each other, and what determines no pixel: stored values of the job,
#: errors, checkpoints, files of weights with their hashes, how a command ends, and the process.
WITHOUT_PIXELS = (
    "dubline.options.output",
    "dubline.options.render",
    *(
        f"dubline.orchestration.{name}"
        for name in (
            *("domain.checkpoints", "domain.errors", "domain.faces", "domain.jobs", "domain.object_keys"),
            *("domain.sharing", "domain.uploads", "domain.weights", "process", "settings"),
        )
    ),
    "dubline.worker.runtime",
)


def imported(source: str) -> Iterator[str]:
    """Yield the names that are imported from this project, except for types."""
    for node in ast.walk(without_types(ast.parse(source))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module.startswith("dubline"))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("dubline"))


def without_types(module: ast.Module) -> ast.Module:
    module.body = [
        one for one in module.body if not isinstance(one, ast.If) or ast.unparse(one.test) != "TYPE_CHECKING"
    ]
    return module


def test_the_version_covers_all_imports_of_the_renderer_that_determine_pixels() -> None:
    covered = (*(part.__name__ for part in version.SOURCES), *WITHOUT_PIXELS)
    names = {name for source in list(version._sources())[1::2] for name in imported(source.decode())}
    assert {name for name in names if not any(f"{name}.".startswith(f"{one}.") for one in covered)} == set()


def test_the_version_covers_networks_geometry_decoding_and_encoding() -> None:
    names = {name.decode() for name in list(version._sources())[::2]}
    assert {
        "dubline.framing/crop.py",
        "dubline.models/stage1/autoencoder.py",
        "dubline.orchestration.domain.video_size/video_size.py",
        "dubline.worker.media/mux.py",
        "dubline.worker.rendering/full_size/opencv.py",
    } <= names


def test_the_version_covers_the_libraries_of_the_worker() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = [re.match(r"[\w.-]+", requirement) for extra in ("worker", "gpu") for requirement in extras[extra]]
    assert set(version.LIBRARIES) == {name[0] for name in names if name}


def test_an_encoder_that_does_not_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg_build.imageio_ffmpeg, "get_ffmpeg_exe", lambda: "/absent/ffmpeg")
    with pytest.raises(EncoderFailedError, match="cannot be started"):
        ffmpeg_build.read()


def test_the_version_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = version.renderer_sha256(CPU)

    def fail(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(version, "_sources", fail)
    assert version.renderer_sha256(CPU) == first
