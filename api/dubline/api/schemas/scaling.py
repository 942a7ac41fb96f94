"""Schema of the work of a pool."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from dubline.api.schemas.fields import ResponseModel
from dubline.orchestration.demand import Demand


class PoolAnswer(ResponseModel):
    """The work of one pool of workers. The numbers are those from which the service decides how many workers it has."""

    pool: str = Field(description="Its name.", examples=["l4"])
    backlog_s: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="Predicted device seconds of its share of the claimable jobs and of what is left of running ones.",
    )
    error_s: float = Field(ge=0, allow_inf_nan=False, description="Standard error of `backlog_s`.")
    jobs: int = Field(ge=0, description="Claimable and running jobs.")
    running: int = Field(ge=0, description="Running jobs.")

    @classmethod
    def of(cls, pool: str, demand: Demand) -> Self:
        """Convert a demand."""
        return cls(
            pool=pool,
            backlog_s=demand.backlog_s,
            error_s=demand.error_s,
            jobs=demand.waiting + demand.running,
            running=demand.running,
        )
