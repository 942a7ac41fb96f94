"""Every alert fires on its cases, is silent on the others, and is explained in docs/operations.md."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.charts.conftest import CHART, ROOT
from tests.charts.promql.evaluation import NAME, Series, evaluate
from tests.charts.promql.syntax import SECONDS, Selector, parse, selectors
from tests.unit.test_metrics import registered

from dubline.orchestration.maintenance import cleaner
from dubline.orchestration.scaling.decision import Reason, decide
from dubline.orchestration.scaling.observation import Observation
from dubline.orchestration.scaling.pool import PoolSettings
from dubline.orchestration.scaling.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

yaml = pytest.importorskip("yaml", reason="PyYAML, of the dev extra, is not installed")

FILE: Final = CHART / "files" / "alerts.yaml"
RULES: Final = {rule["alert"]: rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]}
# Read as text: 0x60 is no number here.
_CASES: Final = yaml.load((Path(__file__).parent / "alert_cases.yaml").read_text(), yaml.BaseLoader)
CASES: Final = {one["alert"]: one for one in _CASES}
INTERVAL_S: Final = 60


def values(text: str) -> Iterator[float | None]:
    """Read values as promtool does: `1x3`, `0+2x3`, `9-1x3`, `_x3` and single numbers."""
    for word in text.split():
        match = re.fullmatch(r"(?P<first>\d+|_)(?P<step>[+-]\d+)?(x(?P<times>\d+))?", word)
        assert match is not None, word
        times = int(match["times"] or 0)
        if match["first"] == "_":
            yield from [None] * max(times, 1)
        else:
            yield from (float(match["first"]) + float(match["step"] or 0) * number for number in range(times + 1))


def series(case: dict[str, Any]) -> list[Series]:
    found = []
    for written, text in case["series"].items():
        selector = parse(written)
        assert isinstance(selector, Selector)
        labels = {one.label: one.text for one in selector.matchers} | {NAME: selector.name}
        samples = ((float(number * INTERVAL_S), value) for number, value in enumerate(values(text)))
        found.append(Series(labels, tuple((time_s, value) for time_s, value in samples if value is not None)))
    return found


def fires(rule: dict[str, Any], data: list[Series], end_s: int) -> bool:
    """Return whether the rule holds at a time and, for the same labels, as long before as it must."""
    wait_s = int(rule["for"][:-1]) * SECONDS[rule["for"][-1]] if "for" in rule else 0
    expression = parse(rule["expr"])
    found = [evaluate(expression, data, at_s) for at_s in range(end_s - wait_s, end_s + 1, INTERVAL_S)]
    return bool(set.intersection(*(set(one) for one in found if isinstance(one, dict))))


def case_of_promtool(name: str, case: dict[str, Any], kind: str) -> dict[str, Any]:
    expected = {
        "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}})',
        "eval_time": f"{case['at']}m",
        "exp_samples": [{"labels": "{}", "value": 1}] if kind == "fires" else [],
    }
    written = [{"series": one, "values": text} for one, text in case["series"].items()]
    return {"interval": "1m", "input_series": written, "promql_expr_test": [expected]}


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_alert_fires_on_its_cases_and_is_silent_on_others(name: str) -> None:
    assert CASES[name]["fires"]
    assert CASES[name]["silent"]
    for kind in ("fires", "silent"):
        for case in CASES[name][kind]:
            assert fires(RULES[name], series(case), int(case["at"]) * 60) == (kind == "fires"), case


def test_an_alert_fires_if_no_worker_ever_becomes_ready() -> None:
    policy = PoolSettings(name="a", deployment="a", presets=frozenset({"base"}), ceiling=10, cold_start_s=300).policy()
    state, since_s, failed = State(), list[float](), 0
    samples: dict[str, list[tuple[float, float]]] = {"wanted": [], "busy": [], "stuck": [], "failed": []}
    for at_s in map(float, range(0, 10_800, 15)):
        ages_s = tuple(at_s - one for one in since_s)
        numbers = {"idle": 0, "busy": 0, "waiting": 100, "running": 0, "backlog_s": 24_000.0}
        seen = Observation(at_s=at_s, requested=len(since_s), starting_ages_s=ages_s, **numbers)  # type: ignore[arg-type]
        decision = decide(seen, policy, state)
        state, failed = decision.state, failed + (decision.reason is Reason.FAILED_STARTS)
        since_s = [*since_s[decision.stuck :], *[at_s] * decision.workers][: decision.workers]
        if at_s % INTERVAL_S == 0:
            measured = {"wanted": decision.wanted or 0, "busy": 0, "stuck": decision.stuck, "failed": failed}
            for name, value in measured.items():
                samples[name].append((at_s, value))
    labels = {
        "wanted": {NAME: "dubline_scaling_wanted_workers"},
        "busy": {NAME: "dubline_scaling_workers", "state": "busy"},
        "stuck": {NAME: "dubline_scaling_workers", "state": "stuck"},
        "failed": {NAME: "dubline_scaling_decisions_total", "reason": "failed_starts"},
    }
    data = [Series({"pool": "a"} | labels[name], tuple(values)) for name, values in samples.items()]
    assert fires(RULES["DublineScalerCannotGrow"], data, 10_740)


def test_promtool_agrees_with_every_case(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on PATH")
    for name, rule in RULES.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"groups": [{"name": name, "rules": [rule]}]}))
        tests = [case_of_promtool(name, case, kind) for kind in ("fires", "silent") for case in CASES[name][kind]]
        described = {"rule_files": [f"{name}.json"], "evaluation_interval": "1m", "tests": tests}
        (tmp_path / f"{name}.test.json").write_text(json.dumps(described))
    files = sorted(tmp_path.glob("*.test.json"))
    checked = subprocess.run([promtool, "test", "rules", *files], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_alert_reads_metrics_and_labels_that_exist(name: str) -> None:
    metrics = registered()
    for one in selectors(parse(RULES[name]["expr"])):
        labels = metrics[re.sub("_(bucket|count|sum)$", "", one.name)][1]
        assert {matcher.label for matcher in one.matchers} <= set(labels)


def test_a_task_runs_thrice_in_the_window_of_its_alert() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["maintenance"]["properties"]
    (window,) = re.findall(r"\[(\d+)m\]", RULES["DublineMaintenanceTaskStopped"]["expr"])
    for name in ("publishS", "reconcileS", "rescueS", "cleanS", "expireS"):
        # A run of the cleaner takes as long as it may.
        assert schema[name]["maximum"] + (cleaner.RUN_S if name == "cleanS" else 0) <= int(window) * 60 * 2 / 3
        assert schema[name]["maximum"] <= int(window) * 60 / 3


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_alert_has_a_severity_and_a_section_on_what_to_do(name: str) -> None:
    rule = RULES[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert name in headings


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_section_that_begins_like_the_summary_says_the_same(name: str) -> None:
    summary = RULES[name]["annotations"]["summary"].removesuffix(".")
    section = re.search(rf"^#+ {name}\n+(.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert section is not None
    first_words = " ".join(summary.split()[:4])
    assert section[1].startswith(summary) or not section[1].startswith(first_words)


def test_the_chart_creates_the_rules_of_the_file_if_it_is_told_to(render: Callable[..., list[dict[str, Any]]]) -> None:
    assert "PrometheusRule" not in {one["kind"] for one in render()}
    options = "metrics.alerts.enabled=true,metrics.alerts.runbookUrl=https://x/runbook,metrics.alerts.labels.release=a"
    (created,) = (one for one in render("--set", options) if one["kind"] == "PrometheusRule")
    assert created["metadata"]["labels"]["release"] == "a"
    written = FILE.read_text().replace("docs/operations.md", "https://x/runbook")
    assert created["spec"] == yaml.safe_load(written[written.index("groups:") :])
