"""Health: whether this process lives, and whether it can do its work."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from dubline.api.openapi import problems
from dubline.api.schemas.fields import AnswerModel
from dubline.api.services import Wired

router = APIRouter(prefix="/health", tags=["health"])


class Health(AnswerModel):
    """A good answer; a bad one is a problem."""

    status: Literal["ok"] = "ok"


@router.get("/live", summary="Is the process alive?")
async def live() -> Health:
    """Answer without asking anyone: restart the process only if even this fails."""
    return Health()


@router.get("/ready", summary="Can it take requests?", responses=problems(503))
def ready(services: Wired) -> Health:
    """Ask the database, the only part that every request needs; uploads and results need the bucket too."""
    services.store.check()
    return Health()
