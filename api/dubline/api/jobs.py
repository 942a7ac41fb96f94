"""Routes of jobs: one portrait and one speech track to one video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi import APIRouter, Response

from dubline.api import deletion
from dubline.api.auth import Actor, Tenant
from dubline.api.bodies import BodyRoute
from dubline.api.openapi import problems
from dubline.api.progress import eta_s
from dubline.api.schemas.jobs import AttemptAnswer, JobAnswer, JobDetail, JobRequest, ResultAnswer, fault
from dubline.api.services import Services, ServicesDep
from dubline.orchestration.domain.jobs import Attempt, Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=BodyRoute)


@router.post("", status_code=201, summary="Submit a job", responses=problems(401, 409, 422, 503))
def create_job(request: JobRequest, tenant: Tenant, services: ServicesDep, response: Response) -> JobDetail:
    """Queue one job.

    If an upload is missing or was rejected, no job is created and the error has the upload's error code.
    """
    job = services.store.jobs.insert(tenant, request.new_job())
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return detail(job, (), services)


@router.get("/{job_id}", summary="Get a job", responses=problems(401, 404, 422, 503))
def get_job(job_id: UUID, tenant: Tenant, services: ServicesDep) -> JobDetail:
    """Return a job with its progress and attempts and, once it succeeded, the URL of its video."""
    job = services.store.jobs.get(tenant, job_id)
    return detail(job, services.store.jobs.attempts(tenant, job_id), services)


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=problems(401, 404, 422, 503))
def cancel_job(job_id: UUID, tenant: Tenant, services: ServicesDep) -> JobDetail:
    """Cancel a job that is not final; its worker stops within seconds.

    A final job is returned unchanged, so the call is idempotent.
    """
    job = services.store.jobs.cancel(tenant, job_id)
    return detail(job, services.store.jobs.attempts(tenant, job_id), services)


@router.delete("/{job_id}", summary="Delete a job", **deletion.route(401, 404, 422, 503))
def delete_job(job_id: UUID, tenant: Tenant, actor: Actor, services: ServicesDep) -> Response:
    """Delete a job and its video; its uploads are kept. A job that is not final is cancelled first."""
    return deletion.response(services.store.deletions.job(tenant, job_id, actor))


def detail(job: Job, attempts: Sequence[Attempt], services: Services) -> JobDetail:
    """Build the response for a job with its attempts, oldest first."""
    running = [attempt.started_at for attempt in attempts if attempt.ended_at is None]
    fields = _fields(job, running[-1] if running else None, services)
    return JobDetail.model_validate({**fields, "attempts": [AttemptAnswer.of(one) for one in attempts]})


def summary(job: Job, services: Services) -> JobAnswer:
    """Build the response for a job in a list.

    Attempts are not loaded there, so the start of the current attempt is known for a first attempt only.
    """
    return JobAnswer.model_validate(_fields(job, job.started_at if job.attempt_count == 1 else None, services))


def _fields(job: Job, attempt_started_at: datetime | None, services: Services) -> dict[str, object]:
    now = datetime.now(UTC)
    copied = (
        *(
            "id",
            "batch_id",
            "custom_id",
            "portrait_upload_id",
            "speech_upload_id",
            "weights_sha256",
        ),
        *("state", "stage", "attempt_count", "gpu_s"),
        *("created_at", "started_at", "deadline_at", "finalized_at", "result_deleted_at"),
    )
    return {
        **{name: getattr(job, name) for name in copied},
        **asdict(job.options),
        "percent": job.progress_percent,
        "eta_s": eta_s(job, attempt_started_at, now),
        "error": fault(job.error_code, job.error_detail),
        "result": _result(job, services, now),
    }


def _result(job: Job, services: Services, now: datetime) -> ResultAnswer | None:
    if job.result_key is None or job.result_deleted_at is not None:
        return None
    expires_s = services.limits.result_url_s
    return ResultAnswer(
        url=services.objects.presign_get(job.result_key, f"{job.id}.mp4", expires_s),
        expires_at=now + timedelta(seconds=expires_s),
        size_bytes=job.result_size_bytes,
        duration_s=job.result_duration_s,
    )
