"""The table in docs/metrics.md lists exactly the metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pytest
from prometheus_client import REGISTRY

import dubline.api.metrics
import dubline.orchestration.cluster.metrics
import dubline.orchestration.maintenance.metrics as maintenance
import dubline.worker.runtime.metrics

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
#: Labels that have few values by construction.
BOUNDED: Final = {
    *("cause", "code", "device", "kind", "method", "outcome", "pool", "preset", "reason"),
    *("result", "route", "stage", "state", "task", "tenant_class"),
}


def registered() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return type and labels of our metrics by their published name."""
    assert dubline.api.metrics
    assert dubline.orchestration.cluster.metrics
    assert dubline.worker.runtime.metrics
    metrics: dict[str, tuple[str, tuple[str, ...]]] = {}
    for collector in list(REGISTRY._collector_to_names):
        name = getattr(collector, "_name", "")
        if name.startswith("dubline_"):
            kind = str(collector._type)  # type: ignore[attr-defined]
            labels = tuple(collector._labelnames)  # type: ignore[attr-defined]
            metrics[name + ("_total" if kind == "counter" else "")] = (kind, labels)
    for family in maintenance.BacklogCollector(cast("Store", None)).describe():
        metrics[family.name] = (family.type, tuple(family._labelnames))
    return metrics


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("| `")
    ]
    return {name.strip("`"): (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, _, labels, _ in rows}


def test_the_document_lists_every_metric_with_its_type_and_labels() -> None:
    assert documented() == registered()


def test_no_metric_has_an_unbounded_label() -> None:
    assert {label for _, labels in registered().values() for label in labels} <= BOUNDED


@pytest.mark.parametrize("name", sorted(registered()))
def test_names_have_base_units_and_the_suffix_of_their_type(name: str) -> None:
    assert re.fullmatch(r"dubline_[a-z_]+", name)
    assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|percent|count)(_|$)", name)
