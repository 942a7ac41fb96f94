"""The part of PromQL in `promql`, on cases whose results Prometheus's documentation or arithmetic gives."""

from __future__ import annotations

import math

import pytest
from tests.charts.promql.evaluation import NAME, Series, evaluate
from tests.charts.promql.syntax import Binary, parse


def a_series(name: str, *values: float, step_s: float = 60.0, **labels: str) -> Series:
    return Series(labels | {NAME: name}, tuple((number * step_s, value) for number, value in enumerate(values)))


DATA = [
    a_series("jobs", 1, 2, 3, pool="a", pod="x"),
    a_series("jobs", 4, 4, 4, pool="a", pod="y"),
    a_series("jobs", 7, 7, 7, pool="b", pod="z"),
    a_series("limit", 3, 3, 3, pool="a"),
    a_series("runs_total", 0, 10, 20, pool="a"),
    a_series("runs_total", 50, 60, 5, pool="b"),
]


def values(text: str, at_s: float = 120.0) -> dict[str, float]:
    found = evaluate(parse(text), DATA, at_s)
    assert isinstance(found, dict)
    return {",".join(value for name, value in sorted(labels) if name != NAME): value for labels, value in found.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jobs", {"x,a": 3, "y,a": 4, "z,b": 7}),
        ('jobs{pool="a", pod!="x"}', {"y,a": 4}),
        ('jobs{pod=~"x|z"}', {"x,a": 3, "z,b": 7}),
        # A regular expression must match the whole value.
        ('jobs{pod!~"x|"}', {"y,a": 4, "z,b": 7}),
        ("jobs offset 1m", {"x,a": 2, "y,a": 4, "z,b": 7}),
        ("sum(jobs)", {"": 14}),
        ("max by (pool) (jobs)", {"a": 4, "b": 7}),
        ("count by (pool) (jobs)", {"a": 2, "b": 1}),
        ("jobs > 3", {"y,a": 4, "z,b": 7}),
        ("1 + 2 * jobs", {"x,a": 7, "y,a": 9, "z,b": 15}),
        ("sum by (pool) (jobs) / limit", {"a": 7 / 3}),
        ("jobs and on(pool) limit", {"x,a": 3, "y,a": 4}),
        ("jobs unless on(pool) limit", {"z,b": 7}),
        ("sum(jobs) > 3 and sum(limit) == 4", {}),
        ("absent(jobs)", {}),
        ('absent(nothing{pool="a"})', {"a": 1}),
        ("sum(nothing) or vector(0)", {"": 0}),
        ("clamp_min(limit, 5)", {"a": 5}),
        # A fall is a restart from 0: 10 + 5. Before the first sample and after the last, nothing is to be added.
        ("increase(runs_total[2m])", {"a": 20, "b": 15}),
        ("rate(runs_total[2m])", {"a": 20 / 120, "b": 15 / 120}),
    ],
)
def test_an_expression_has_the_values_of_prometheus(text: str, expected: dict[str, float]) -> None:
    assert values(text) == pytest.approx(expected)


def test_a_series_is_absent_five_minutes_after_its_last_sample() -> None:
    assert values("limit", 120 + 299) == {"a": 3}
    assert values("limit", 120 + 301) == {}


def test_an_increase_is_extrapolated_to_the_range_but_not_below_0() -> None:
    # Of 60 s before the first sample half an interval counts, at most back to 0.
    data = [a_series("full", 100, 110, 120), a_series("new", 5, 105, 205)]
    found = evaluate(parse("increase(full[5m])"), data, 150)
    assert found == {frozenset(): pytest.approx(20 * (120 + 30 + 30) / 120)}
    found = evaluate(parse("increase(new[5m])"), data, 120)
    assert found == {frozenset(): pytest.approx(200 * (120 + 120 * 5 / 200) / 120)}


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    buckets = [a_series("b", count, le=le) for le, count in (("1.0", 10.0), ("3.0", 30.0), ("+Inf", 40.0))]
    assert evaluate(parse("histogram_quantile(0.5, b)"), buckets, 0) == {frozenset(): pytest.approx(2.0)}
    assert evaluate(parse("histogram_quantile(0.99, b)"), buckets, 0) == {frozenset(): 3.0}


def test_nothing_divided_by_nothing_exceeds_no_limit() -> None:
    assert values("limit * 0 / 0 > 0.1") == {}
    (value,) = values("limit * 0 / 0").values()
    assert math.isnan(value)


def test_operators_bind_as_in_prometheus() -> None:
    tree = parse("a or b and c > d + e * f")
    assert isinstance(tree, Binary)
    assert tree.sign == "or"
    assert tree.right == parse("(b and (c > (d + (e * f))))")


@pytest.mark.parametrize("text", ["", "sum(", "jobs{pool}", "jobs[5m", "deriv(jobs[5m])", "jobs jobs", "jobs ~ 1"])
def test_what_is_outside_our_part_of_the_language_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|unexpected|unknown"):
        parse(text)
