"""Choose one setting of each policy on training traces, and measure it on traces that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dubline.orchestration.scaling.simulation.cluster import simulate
from dubline.orchestration.scaling.simulation.outcome import Outcome, total

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dubline.orchestration.scaling.simulation.conditions import Conditions
    from dubline.orchestration.scaling.simulation.policies import Candidate
    from dubline.orchestration.scaling.simulation.traces import Trace

#: Share of the jobs of each kind of trace that must be finished in time.
GOAL: Final = 0.95
#: What a setting must attain in training in addition, because other traces differ.
MARGIN: Final = 0.03


@dataclass(frozen=True, slots=True)
class Point:
    """One setting on the training traces."""

    value: float
    attained: float
    """Share in time of the kind of trace with the smallest one."""
    ratio: float
    """Device hours for an hour of work."""


@dataclass(frozen=True, slots=True)
class Result:
    """One policy with its chosen setting on the unseen traces."""

    candidate: Candidate
    value: float
    points: tuple[Point, ...]
    """All settings in training."""
    outcomes: Mapping[tuple[str, int], Outcome]
    """By kind of trace and seed."""

    @property
    def seeds(self) -> list[int]:
        """The seeds in their order."""
        return sorted({seed for _, seed in self.outcomes})

    @property
    def kinds(self) -> list[str]:
        """The kinds of traces in their order."""
        return list(dict.fromkeys(kind for kind, _ in self.outcomes))

    def of(self, *, kind: str | None = None, seed: int | None = None) -> Outcome:
        """Add up the outcomes of one kind of trace, of one seed, or all."""
        return total(
            outcome
            for (name, number), outcome in self.outcomes.items()
            if kind in {None, name} and seed in {None, number}
        )

    def attained(self, wait_target_s: float) -> float:
        """Return the share in time of the kind of trace with the smallest one."""
        return min(self.of(kind=kind).attained(wait_target_s) for kind in self.kinds)


def study(
    candidates: Sequence[Candidate],
    training: Mapping[tuple[str, int], Trace],
    unseen: Mapping[tuple[str, int], Trace],
    conditions: Conditions,
    progress: Callable[[], None],
) -> list[Result]:
    """Choose the settings and measure them.

    Args:
        candidates: the policies.
        training: traces by kind and seed, on which the settings are chosen.
        unseen: other traces.
        conditions: the machines.
        progress: called after each simulation.
    """
    results = []
    for candidate in candidates:
        points = []
        for value in candidate.values:
            trained = Result(candidate, value, (), _measure(candidate, value, training, conditions, progress))
            points.append(Point(value, trained.attained(conditions.wait_target_s), trained.of().ratio))
        value = choose(points).value
        results.append(
            Result(candidate, value, tuple(points), _measure(candidate, value, unseen, conditions, progress))
        )
    return results


def choose(points: Sequence[Point]) -> Point:
    """Return the cheapest setting that attains the goal, or else the one that attains most."""
    attaining = [point for point in points if point.attained >= GOAL + MARGIN]
    if attaining:
        return min(attaining, key=lambda point: point.ratio)
    return max(points, key=lambda point: (point.attained, -point.ratio))


def best_other(results: Sequence[Result], wait_target_s: float) -> Result:
    """Return the cheapest of the other policies that attains the goal on the unseen traces.

    If none does, the one that attains most.
    """
    others = results[1:]
    attaining = [result for result in others if result.attained(wait_target_s) >= GOAL]
    if attaining:
        return min(attaining, key=lambda result: result.of().ratio)
    return max(others, key=lambda result: result.attained(wait_target_s))


def _measure(
    candidate: Candidate,
    value: float,
    traces: Mapping[tuple[str, int], Trace],
    conditions: Conditions,
    progress: Callable[[], None],
) -> dict[tuple[str, int], Outcome]:
    outcomes = {}
    for (kind, seed), trace in traces.items():
        outcomes[kind, seed] = simulate(trace, candidate.build(value), conditions, seed)
        progress()
    return outcomes
