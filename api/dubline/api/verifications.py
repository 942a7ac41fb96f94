"""The route of verifications: whether a file is a result of the caller's tenant."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from dubline.api.auth import Tenant
from dubline.api.bodies import BodyRoute
from dubline.api.schemas.verifications import Verdict, VerificationAnswer, VerificationRequest
from dubline.api.services import Services, ServicesDep
from dubline.orchestration.domain.errors import NotFoundError
from dubline.orchestration.domain.jobs import Job

router = APIRouter(prefix="/v1/verifications", tags=["verifications"], route_class=BodyRoute)


@router.post("", summary="Verify a file")
def verify(request: VerificationRequest, tenant: Tenant, services: ServicesDep) -> VerificationAnswer:
    """Tell whether a file is a result of the caller's tenant. Nothing is created; the scope is `read`.

    A file of another tenant is `unknown`, like a file that no job has rendered.
    """
    job = services.store.jobs.find_result(tenant, request.sha256)
    if job is not None:
        return VerificationAnswer.of(Verdict.UNALTERED, job)
    named = None if request.job_id is None else _rendered(tenant, request.job_id, services)
    return VerificationAnswer.of(Verdict.UNKNOWN) if named is None else VerificationAnswer.of(Verdict.ALTERED, named)


def _rendered(tenant: str, job_id: UUID, services: Services) -> Job | None:
    """Return the job if it has a result whose hash is known."""
    try:
        job = services.store.jobs.get(tenant, job_id)
    except NotFoundError:
        return None
    return None if job.result_sha256 is None else job
