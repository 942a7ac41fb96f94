"""Evaluation of the trees of `syntax` as Prometheus does it. test_alerts.py compares both, if there is a promtool."""

from __future__ import annotations

import math
import operator
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tests.charts.promql.syntax import Aggregate, Binary, Call, Number, Selector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.charts.promql.syntax import Matcher, Node

#: A series without a sample for so long is absent.
LOOKBACK_S: Final = 300
NAME: Final = "__name__"
AGGREGATED: Final[Mapping[str, Callable[[list[float]], float]]] = {
    "avg": lambda values: sum(values) / len(values),
    "count": len,
    "max": max,
    "min": min,
    "sum": sum,
}
COMPARED: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
COMPUTED: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else math.nan if not left else math.copysign(math.inf, left),
}

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]


@dataclass(frozen=True)
class Series:
    labels: dict[str, str]
    samples: tuple[tuple[float, float], ...]
    """Times in seconds and values."""


def evaluate(node: Node, series: Iterable[Series], at_s: float) -> Vector | float:
    """Return the value of an expression at one time: a number, or the values by labels."""
    data = list(series)
    match node:
        case Number():
            return node.value
        case Selector():
            return _instant(node, data, at_s)
        case Call():
            return _called(node, data, at_s)
        case Aggregate():
            return _aggregated(node, _vector(evaluate(node.of, data, at_s)))
        case Binary():
            return _combined(node, evaluate(node.left, data, at_s), evaluate(node.right, data, at_s))


def _vector(value: Vector | float) -> Vector:
    if not isinstance(value, dict):
        raise TypeError("expected values by labels, found a number")
    return value


def _labels(labels: Mapping[str, str], *dropped: str) -> Labels:
    return frozenset((name, value) for name, value in labels.items() if name not in dropped)


def _matches(matcher: Matcher, labels: Mapping[str, str]) -> bool:
    value = labels.get(matcher.label, "")
    equal = re.fullmatch(matcher.text, value) is not None if "~" in matcher.sign else value == matcher.text
    return equal != matcher.sign.startswith("!")


def _selected(selector: Selector, data: list[Series]) -> list[Series]:
    named = [one for one in data if one.labels[NAME] == selector.name]
    return [one for one in named if all(_matches(matcher, one.labels) for matcher in selector.matchers)]


def _instant(selector: Selector, data: list[Series], at_s: float) -> Vector:
    if selector.range_s is not None:
        raise TypeError("a range needs a function")
    end_s, found = at_s - selector.offset_s, {}
    for one in _selected(selector, data):
        last = bisect_right(one.samples, (end_s, math.inf)) - 1
        if last >= 0 and one.samples[last][0] > end_s - LOOKBACK_S:
            found[_labels(one.labels)] = one.samples[last][1]
    return found


def _called(call: Call, data: list[Series], at_s: float) -> Vector:
    first = call.arguments[0]
    if call.name in {"increase", "rate"}:
        if not isinstance(first, Selector) or first.range_s is None:
            raise TypeError(f"{call.name} needs a range")
        divisor = first.range_s if call.name == "rate" else 1
        return {labels: value / divisor for labels, value in _increases(first, data, at_s).items()}
    values = [evaluate(argument, data, at_s) for argument in call.arguments]
    if call.name == "vector":
        return {frozenset(): float(values[0])}  # type: ignore[arg-type]
    if call.name == "clamp_min":
        least = float(values[1])  # type: ignore[arg-type]
        return {_labels(dict(labels), NAME): max(value, least) for labels, value in _vector(values[0]).items()}
    if call.name == "histogram_quantile":
        return _quantiles(float(values[0]), _vector(values[1]))  # type: ignore[arg-type]
    # absent: the labels of the result are those that the selector fixes.
    fixed = first.matchers if isinstance(first, Selector) else ()
    return {} if values[0] else {frozenset((one.label, one.text) for one in fixed if one.sign == "="): 1.0}


def _increases(selector: Selector, data: list[Series], at_s: float) -> Vector:
    end_s, range_s = at_s - selector.offset_s, selector.range_s or 0
    found = {}
    for one in _selected(selector, data):
        samples = [sample for sample in one.samples if end_s - range_s <= sample[0] <= end_s]
        if len(samples) > 1:
            found[_labels(one.labels, NAME)] = _extrapolated(samples, end_s - range_s, end_s)
    return found


def _extrapolated(samples: list[tuple[float, float]], start_s: float, end_s: float) -> float:
    """Return the increase of a counter, extrapolated to the range; a fall is a restart from 0."""
    (first_s, first), (last_s, last) = samples[0], samples[-1]
    resets = sum(before for (_, before), (_, after) in pairwise(samples) if after < before)
    increase, sampled_s = last - first + resets, last_s - first_s
    step_s = sampled_s / (len(samples) - 1)
    before_s, after_s = first_s - start_s, end_s - last_s
    if increase > 0 and first >= 0:
        # It was not below 0 before.
        before_s = min(before_s, sampled_s * first / increase)
    margins_s = sum(gap_s if gap_s < 1.1 * step_s else step_s / 2 for gap_s in (before_s, after_s))
    return increase * (sampled_s + margins_s) / sampled_s


def _quantiles(quantile: float, buckets: Vector) -> Vector:
    grouped: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bound = float(dict(labels)["le"])
        grouped.setdefault(_labels(dict(labels), NAME, "le"), []).append((bound, count))
    return {labels: _quantile(quantile, sorted(counts)) for labels, counts in grouped.items()}


def _quantile(quantile: float, counts: list[tuple[float, float]]) -> float:
    rank = quantile * counts[-1][1]
    if counts[-1][1] == 0:
        return math.nan
    low, below = 0.0, 0.0
    for bound, count in counts:
        if count >= rank:
            return low if math.isinf(bound) else low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return math.nan


def _aggregated(node: Aggregate, vector: Vector) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        groups.setdefault(frozenset(one for one in labels if one[0] in node.by), []).append(value)
    return {labels: float(AGGREGATED[node.name](values)) for labels, values in groups.items()}


def _combined(node: Binary, left: Vector | float, right: Vector | float) -> Vector | float:
    def key(labels: Labels) -> Labels:
        return frozenset(one for one in labels if (one[0] in node.on if node.on is not None else one[0] != NAME))

    if node.sign in {"and", "or", "unless"}:
        return _set(node.sign, _vector(left), _vector(right), key)
    if isinstance(left, float) and isinstance(right, float):
        return COMPUTED[node.sign](left, right)
    if isinstance(right, dict) and isinstance(left, dict):
        others = {key(labels): value for labels, value in right.items()}
        pairs = {labels: (value, others[key(labels)]) for labels, value in left.items() if key(labels) in others}
    elif isinstance(left, dict):
        pairs = {labels: (value, float(right)) for labels, value in left.items()}  # type: ignore[arg-type]
    else:
        pairs = {labels: (left, value) for labels, value in _vector(right).items()}
    if node.sign in COMPARED:
        kept = {labels: pair for labels, pair in pairs.items() if COMPARED[node.sign](*pair)}
        return {labels: pair[0] if isinstance(left, dict) else pair[1] for labels, pair in kept.items()}
    return {_labels(dict(labels), NAME): COMPUTED[node.sign](*pair) for labels, pair in pairs.items()}


def _set(sign: str, left: Vector, right: Vector, key: Callable[[Labels], Labels]) -> Vector:
    if sign == "or":
        there = {key(labels) for labels in left}
        return left | {labels: value for labels, value in right.items() if key(labels) not in there}
    there = {key(labels) for labels in right}
    return {labels: value for labels, value in left.items() if (key(labels) in there) == (sign == "and")}
