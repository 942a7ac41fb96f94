"""Fixtures: helm, if it is installed, and the rendered chart."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "dubline"
CI_VALUES = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))


class Helm(Protocol):
    """Runs helm."""

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def chart() -> Path:
    return CHART


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    program = shutil.which(os.environ.get("HELM") or "helm")
    if program is None:
        pytest.skip("helm is not on PATH, and HELM is not set")
    home = str(tmp_path_factory.mktemp("helm"))
    environ = {"HELM_CACHE_HOME": home, "HELM_CONFIG_HOME": home, "HELM_DATA_HOME": home, "HOME": home}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *words], env=environ, capture_output=True, text=True, check=False, timeout=120)

    return run


@pytest.fixture(params=["default values", *CI_VALUES])
def values(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Options of helm for one set of values."""
    return () if request.param == "default values" else ("--values", str(CHART / "ci" / request.param))


@pytest.fixture(scope="session")
def render(helm: Helm) -> Callable[..., list[dict[str, Any]]]:
    """Return the chart's objects. No test may change them: those of equal options are rendered once."""
    yaml = pytest.importorskip("yaml", reason="PyYAML, of the dev extra, is not installed")

    @cache
    def objects(*options: str) -> list[dict[str, Any]]:
        rendered = helm("template", "dubline", str(CHART), *options)
        assert rendered.returncode == 0, rendered.stderr
        return [
            one for one in yaml.load_all(rendered.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if one
        ]

    return objects
