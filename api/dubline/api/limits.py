"""The route of limits, which a client checks before it sends anything."""

from __future__ import annotations

from fastapi import APIRouter

from dubline.api.auth import Tenant
from dubline.api.schemas.limits import LimitsAnswer
from dubline.api.services import ServicesDep
from dubline.options.render import PRESETS

router = APIRouter(prefix="/v1/limits", tags=["limits"])


@router.get("", summary="Get the limits")
def get_limits(_: Tenant, services: ServicesDep) -> LimitsAnswer:
    """Return the limits of this server, so that a client can check its files and rows before it sends them."""
    limits = services.limits
    return LimitsAnswer(
        batch_rows=limits.batch_rows,
        portrait_bytes=limits.portrait_bytes,
        speech_bytes=limits.upload_bytes,
        presets=sorted(PRESETS),
    )
