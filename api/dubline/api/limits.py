"""The route of limits, which a client checks before it sends anything."""

from __future__ import annotations

from fastapi import APIRouter

from dubline.api.auth import Limits, Tenant
from dubline.api.schemas.limits import HeldAnswer, LimitsAnswer
from dubline.api.services import ServicesDep
from dubline.api.uploads import largest_bytes
from dubline.options.render import PRESETS
from dubline.orchestration.domain.uploads import UploadKind

router = APIRouter(prefix="/v1/limits", tags=["limits"])


@router.get("", summary="Get the limits")
def get_limits(tenant: Tenant, limits: Limits, services: ServicesDep) -> LimitsAnswer:
    """Return the limits of the caller's tenant and what it holds, so that a client can check before it sends."""
    server = services.limits
    held = services.store.tenants.holdings(tenant)
    return LimitsAnswer(
        batch_rows=server.batch_rows,
        portrait_bytes=largest_bytes(UploadKind.PORTRAIT, server, limits),
        speech_bytes=largest_bytes(UploadKind.SPEECH, server, limits),
        consent_required=server.require_consent,
        unused_upload_s=server.unused_upload_s,
        presets=sorted(PRESETS),
        requests_per_s=limits.requests_per_s,
        queued_jobs=limits.queued_jobs,
        queued_s=limits.queued_s,
        running_jobs=limits.running_jobs,
        stored_bytes=limits.stored_bytes,
        held=HeldAnswer(jobs=held.jobs, speech_s=held.speech_s, stored_bytes=held.stored_bytes),
    )
