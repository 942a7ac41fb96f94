"""The route of pools, for KEDA and other autoscalers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from dubline.api.auth import Tenant
from dubline.api.openapi import problems
from dubline.api.schemas.scaling import PoolAnswer
from dubline.api.services import ServicesDep
from dubline.orchestration.demand import demands
from dubline.orchestration.domain.errors import NotFoundError
from dubline.orchestration.domain.pools import POOL_PATTERN

router = APIRouter(prefix="/v1/scaling", tags=["scaling"])

Pool = Annotated[str, Path(pattern=POOL_PATTERN, description="Name of the pool.")]


@router.get("/{pool}", summary="Get the work of a pool", responses=problems(404))
def get_pool(pool: Pool, _: Tenant, services: ServicesDep) -> PoolAnswer:
    """Return the work of a pool of workers. The key needs the scope `scaling`, which only an operator gives.

    A number that is not known is never 0: then the response is 503, and the caller must change nothing.
    """
    found = demands(services.store.predictions.workload(), services.pools).get(pool)
    if found is None:
        raise NotFoundError(f"There is no pool {pool}: it has no workers and is not in DUBLINE_SCALING_POOLS.")
    return PoolAnswer.of(pool, found)
