"""The tables of a study and its last line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table

from dubline.orchestration.scaling.simulation.interval import interval
from dubline.orchestration.scaling.simulation.study import GOAL, best_other

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dubline.orchestration.scaling.simulation.conditions import Conditions
    from dubline.orchestration.scaling.simulation.study import Result


def overview(results: Sequence[Result], conditions: Conditions) -> Table:
    """Return a table with a line for each policy: all unseen traces together."""
    target_s = conditions.wait_target_s
    table = Table(
        title=f"Unseen traces, {len(results[0].seeds)} seeds; +- is a 95 % confidence interval over the seeds"
    )
    table.add_column("policy")
    table.add_column("setting")
    for name in (
        f"finished in {target_s:.0f} s",
        "wait p50",
        "wait p95",
        "device h / work h",
        "money / work h",
        "killed",
        "machines lost",
    ):
        table.add_column(name, justify="right")
    for result in results:
        everything = result.of()
        by_seed = [result.of(seed=seed) for seed in result.seeds]
        ratios = [outcome.ratio for outcome in by_seed]
        table.add_row(
            result.candidate.name,
            result.candidate.shown(result.value),
            _measured([100.0 * outcome.attained(target_s) for outcome in by_seed], 1, " %"),
            f"{everything.wait_s(0.5):.0f} s",
            f"{everything.wait_s(0.95):.0f} s",
            _measured(ratios, 2),
            _measured([ratio * conditions.price_per_hour for ratio in ratios], 2),
            str(everything.killed),
            str(everything.lost),
        )
    return table


def by_kind(results: Sequence[Result], conditions: Conditions) -> Table:
    """Return a table with the share in time and the device hours for an hour of work for each kind of trace."""
    table = Table(title="Share finished in time, and device hours for an hour of work, by kind of trace")
    table.add_column("policy")
    for kind in results[0].kinds:
        table.add_column(kind, justify="right")
    for result in results:
        outcomes = [result.of(kind=kind) for kind in result.kinds]
        cells = [f"{100 * one.attained(conditions.wait_target_s):.1f} %  {one.ratio:.2f}" for one in outcomes]
        table.add_row(result.candidate.name, *cells)
    return table


def figures(results: Sequence[Result], conditions: Conditions) -> list[str]:
    """Return which other policy is the best, and the figures of the first policy beside it as `name=value`.

    `slo_attained` is the share in time of the kind of trace with the smallest one.
    """
    own = results[0]
    other = best_other(results, conditions.wait_target_s)
    attained = other.attained(conditions.wait_target_s)
    named = f"{other.candidate.name}, {other.candidate.shown(other.value)}"
    none = "" if attained >= GOAL else f" (none attains {GOAL:.0%})"
    best = f"best other policy: {named}; of its worst kind of trace {attained:.1%} are in time{none}"
    ratios = f"gpu_hours_per_work_hour={own.of().ratio:.3f} best_other_gpu_hours_per_work_hour={other.of().ratio:.3f}"
    return [best, f"slo_attained={own.attained(conditions.wait_target_s):.4f} {ratios} killed={own.of().killed}"]


def _measured(values: Sequence[float], digits: int, unit: str = "") -> str:
    measured = interval(values)
    half = "" if math.isinf(measured.half) else f" +- {measured.half:.{digits}f}"
    return f"{measured.mean:.{digits}f}{half}{unit}"
