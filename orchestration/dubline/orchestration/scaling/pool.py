"""A pool of workers as the operator describes it, an entry of the setting `DUBLINE_SCALING_POOLS`."""

from __future__ import annotations

from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dubline.options.render import PRESETS
from dubline.orchestration.scaling.policy import Basis, Policy

#: A DNS label, short enough for the name of a Deployment that contains it.
NAME: Final = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
#: A worker is stuck after so many cold starts, and never before `LEAST_START_LIMIT_S`.
STARTS: Final = 3.0
LEAST_START_LIMIT_S: Final = 60.0


class PoolSettings(BaseModel):
    """Workers that are alike: one Deployment, its presets, its price and its limits."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=NAME)
    """As in the workers' `DUBLINE_WORKER_POOL`."""
    deployment: str = Field(min_length=1, max_length=253)
    """Name of the Deployment of its workers."""
    presets: frozenset[str] = Field(min_length=1)
    """The presets that its workers render."""
    ceiling: int = Field(ge=0)
    """Most workers. More stay only while they are busy."""
    floor: int = Field(default=0, ge=0)
    """Fewest workers."""
    price_per_hour: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Money for an hour of one worker."""
    basis: Basis = Basis.BACKLOG
    """What the count follows."""
    target_s: float = Field(default=2400.0, gt=0, allow_inf_nan=False)
    """Seconds in which the backlog is to be worked off; only used by `Basis.BACKLOG`."""
    jobs_per_worker: int = Field(default=20, ge=1)
    """Waiting and running jobs for each worker; only used by `Basis.DEPTH`."""
    cold_start_s: float = Field(default=600.0, ge=0, allow_inf_nan=False)
    """Measured seconds from the request for a worker until it is ready."""
    cooldown_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Idle workers stay until so many seconds have passed since they were last needed; None: `cold_start_s`."""
    start_limit_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """A worker that is not ready after so many seconds is stuck; None: three cold starts, at least 60 s."""
    step_up: int = Field(default=50, ge=1)
    """Most workers that one decision adds."""
    step_down: int = Field(default=50, ge=1)
    """Most idle workers that one decision removes."""

    @field_validator("presets")
    @classmethod
    def _known(cls, presets: frozenset[str]) -> frozenset[str]:
        unknown = sorted(presets - frozenset(PRESETS))
        if unknown:
            raise ValueError(f"There is no preset {unknown[0]}. Use some of {', '.join(sorted(PRESETS))}.")
        return presets

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self.policy()
        return self

    def policy(self) -> Policy:
        """Return the policy of the decision.

        Raises:
            ValueError: settings contradict each other; with each of them, its value and the expected one.
        """
        default_limit_s = max(STARTS * self.cold_start_s, LEAST_START_LIMIT_S)
        return Policy(
            pool=self.name,
            presets=self.presets,
            price_per_hour=self.price_per_hour,
            floor=self.floor,
            ceiling=self.ceiling,
            basis=self.basis,
            target_s=self.target_s,
            jobs_per_worker=self.jobs_per_worker,
            cold_start_s=self.cold_start_s,
            cooldown_s=self.cold_start_s if self.cooldown_s is None else self.cooldown_s,
            start_limit_s=default_limit_s if self.start_limit_s is None else self.start_limit_s,
            step_up=self.step_up,
            step_down=self.step_down,
        )
