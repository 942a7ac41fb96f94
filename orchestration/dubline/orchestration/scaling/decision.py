"""The decision how many workers a pool is to have.

`decide` has no side effect and reads no clock. The loop that patches the cluster and the simulator both call it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dubline.orchestration.scaling.observation import Observation
    from dubline.orchestration.scaling.policy import Policy
    from dubline.orchestration.scaling.state import State


class Reason(StrEnum):
    """Why the count is what it is."""

    MISSING = "missing"
    """A number is unknown: the count stays."""
    STEADY = "steady"
    """As many as are wanted are requested."""
    UP = "up"
    DOWN = "down"
    STEP = "step"
    """More change is wanted than one decision may make."""
    FLOOR = "floor"
    CEILING = "ceiling"
    BUSY = "busy"
    """Fewer are wanted, but these have jobs."""
    COOLDOWN = "cooldown"
    """Fewer are wanted, but more were a short time ago."""
    FAILED_STARTS = "failed_starts"
    """Workers did not become ready: they are withdrawn, and no more are requested before the pause is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision with the numbers it was made from."""

    workers: int
    """Workers that the pool is to have."""
    reason: Reason
    wanted: int | None
    """Workers that the work needs, without regard to any limit; None if unknown."""
    stuck: int
    """Requested workers that did not become ready in time."""
    missing: tuple[str, ...] = ()
    """Numbers that are unknown."""
    observation: Observation
    state: State
    """For the next decision."""


def decide(observation: Observation, policy: Policy, state: State) -> Decision:
    """Decide how many workers a pool is to have.

    Args:
        observation: the pool now.
        policy: its settings.
        state: of the previous decision.

    Returns:
        A count between floor and ceiling, and never less than the number of busy workers: only idle workers leave.
        With an unknown number the count is what is requested now.
    """
    missing = observation.missing()
    if missing:
        return Decision(
            workers=observation.requested,
            reason=Reason.MISSING,
            wanted=None,
            stuck=0,
            missing=missing,
            observation=observation,
            state=state,
        )
    busy = observation.busy or 0
    stuck = observation.stuck(policy.start_limit_s)
    state = _begun(observation, policy, state).with_starts(observation.at_s, busy + (observation.idle or 0), stuck)
    wanted = policy.wanted(observation)
    target = min(max(wanted, policy.floor), policy.ceiling)
    state = state.with_target(observation.at_s, target, policy.cooldown_s)
    # Stuck workers are withdrawn: they are not ready, and a cluster removes such workers first.
    usable = max(observation.requested - stuck, 0)
    if target > usable:
        is_paused = observation.at_s < state.resume_at_s
        workers = usable if is_paused else min(target, usable + policy.step_up)
    else:
        workers = max(min(usable, state.highest), usable - policy.step_down)
    workers = max(min(max(workers, policy.floor), policy.ceiling), busy)
    reason = _reason(observation, policy, state, wanted, workers)
    return Decision(workers=workers, reason=reason, wanted=wanted, stuck=stuck, observation=observation, state=state)


def _begun(observation: Observation, policy: Policy, state: State) -> State:
    """Begin with the workers that are there, so that none leaves because the deciding process was restarted."""
    if state.targets:
        return state
    return state.with_target(observation.at_s, min(observation.requested, policy.ceiling), policy.cooldown_s)


def _reason(observation: Observation, policy: Policy, state: State, wanted: int, workers: int) -> Reason:
    """Name the rule that determined the count."""
    if workers < wanted and workers < policy.ceiling:
        return Reason.FAILED_STARTS if observation.at_s < state.resume_at_s else Reason.STEP
    if workers < observation.requested and observation.stuck(policy.start_limit_s):
        return Reason.FAILED_STARTS
    if workers < wanted:
        return Reason.CEILING
    if workers == wanted:
        return _direction(workers, observation.requested)
    return _kept(observation, policy, state, workers)


def _kept(observation: Observation, policy: Policy, state: State, workers: int) -> Reason:
    """Name the rule that keeps more workers than are wanted."""
    if workers == observation.busy:
        return Reason.BUSY
    if workers == policy.floor:
        return Reason.FLOOR
    return Reason.COOLDOWN if workers <= state.highest else Reason.STEP


def _direction(workers: int, requested: int) -> Reason:
    if workers == requested:
        return Reason.STEADY
    return Reason.UP if workers > requested else Reason.DOWN
