"""The Grafana dashboard reads metrics and labels that exist, by expressions that Prometheus accepts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from tests.charts.conftest import CHART
from tests.charts.promql.syntax import Aggregate, Binary, Call, parse, selectors
from tests.unit.test_metrics import registered

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.charts.promql.syntax import Node

DASHBOARD: Final = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS: Final = [target for panel in PANELS for target in panel["targets"]]


def metric(name: str) -> str:
    return name if name in registered() else re.sub("_(bucket|count|sum)$", "", name)


def grouped(node: Node) -> set[str]:
    """Return the labels by which the result of an expression is told apart."""
    match node:
        case Aggregate():
            return set(node.by)
        case Binary():
            return grouped(node.left)
        case Call(name="histogram_quantile"):
            return grouped(node.arguments[-1]) - {"le"}
    return set()


def test_every_expression_reads_metrics_and_labels_that_exist() -> None:
    for target in TARGETS:
        tree = parse(target["expr"])
        for one in selectors(tree):
            kind, labels = registered()[metric(one.name)]
            assert {matcher.label for matcher in one.matchers} | grouped(tree) <= set(labels), target["expr"]
            assert (one.range_s is not None) == (kind in {"counter", "histogram"}), target["expr"]
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) == grouped(tree), target["expr"]


def test_the_dashboard_shows_every_metric() -> None:
    shown = {metric(one.name) for target in TARGETS for one in selectors(parse(target["expr"]))}
    assert set(registered()) - shown == set()


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in DASHBOARD["panels"]):
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells
        taken |= cells
    sources = {panel["datasource"]["uid"] for panel in PANELS} | {target["datasource"]["uid"] for target in TARGETS}
    assert sources == {"${datasource}"}
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource"]


def test_the_chart_creates_the_dashboard_if_it_is_told_to(render: Callable[..., list[dict[str, Any]]]) -> None:
    assert "ConfigMap" not in {one["kind"] for one in render()}
    created = [one for one in render("--set", "metrics.dashboard.enabled=true") if one["kind"] == "ConfigMap"]
    assert [json.loads(one["data"]["dubline.json"]) for one in created] == [DASHBOARD]
    assert created[0]["metadata"]["labels"]["grafana_dashboard"] == "1"
