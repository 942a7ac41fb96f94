"""Routes of liveness and readiness probes."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request

from dubline.api.openapi import problems
from dubline.api.schemas.fields import ResponseModel

router = APIRouter(prefix="/health", tags=["health"])


class Health(ResponseModel):
    """The process is healthy; otherwise a problem is returned."""

    status: Literal["ok"] = "ok"


@router.get("/live", summary="Is the process alive?")
async def live() -> Health:
    """Respond without checking any dependency; restart the process if this fails."""
    return Health()


@router.get("/ready", summary="Can it take requests?", responses=problems(503))
async def ready(request: Request) -> Health:
    """Check the database, which every request needs. The bucket is not checked."""
    await request.app.state.readiness.check()
    return Health()
