from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.charts.conftest import Helm


def read(path: Path) -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML, of the dev extra, is not installed")
    return yaml.safe_load(path.read_text())


def leaves(tree: dict[str, Any], above: str = "") -> set[str]:
    """Return the paths of all values; an empty mapping or list is a value."""
    found = set()
    for name, value in tree.items():
        inside = isinstance(value, dict) and value
        found |= leaves(value, f"{above}{name}.") if inside else {f"{above}{name}"}
    return found


def test_the_chart_has_the_version_of_the_package(chart: Path) -> None:
    package = tomllib.loads((chart.parents[1] / "pyproject.toml").read_text())
    described = read(chart / "Chart.yaml")
    assert described["appVersion"] == package["project"]["version"]


def test_the_default_values_match_the_schema(chart: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed; helm lint checks it too")
    schema = json.loads((chart / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(read(chart / "values.yaml"), schema)


def test_the_schema_and_the_default_values_have_the_same_groups(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())
    groups = set(schema["properties"]) - {"global", "control"}
    assert set(read(chart / "values.yaml")) == groups == set(schema["required"])


def test_every_ci_file_sets_only_known_values(chart: Path) -> None:
    known = leaves(read(chart / "values.yaml"))
    for path in (chart / "ci").glob("*-values.yaml"):
        for name in leaves(read(path)):
            # An empty mapping such as nodeSelector accepts every name.
            assert any(name == one or name.startswith(f"{one}.") for one in known), f"{path.name}: {name}"


def test_helm_lint_passes(helm: Helm, chart: Path, values: tuple[str, ...]) -> None:
    linted = helm("lint", "--strict", str(chart), *values)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        "worker.replica=2",
        "control.publishS=1",
        "worker.preset=huge",
        "podSecurityContext.runAsUser=0",
        "limits.resultUrlS=7200",
        "metrics.port=8000",
    ],
)
def test_helm_rejects_invalid_values(helm: Helm, chart: Path, wrong: str) -> None:
    assert helm("template", "dubline", str(chart), "--set", wrong).returncode != 0
