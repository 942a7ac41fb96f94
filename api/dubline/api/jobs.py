"""Routes of jobs: one portrait and one speech track to one video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic_core import to_json

from dubline.api import deletion, idempotency, pages, waiting
from dubline.api.auth import Actor, Limits, Tenant
from dubline.api.bodies import BodyRoute
from dubline.api.idempotency import IdempotencyKey
from dubline.api.openapi import problems
from dubline.api.progress import eta_s
from dubline.api.schemas.fields import CustomId
from dubline.api.schemas.jobs import AttemptAnswer, JobDetail, JobListAnswer, JobRequest, fault
from dubline.api.services import Services, ServicesDep
from dubline.api.waiting import WaitS
from dubline.orchestration.domain.jobs import FINAL, Attempt, Job, JobState, ListedJob
from dubline.orchestration.domain.listing import JobFilter, Window

#: Members of a response that have the names of the job's attributes.
_COPIED: Final = (
    *("id", "batch_id", "custom_id", "portrait_upload_id", "speech_upload_id", "weights_sha256"),
    *("state", "stage", "attempt_count", "gpu_s"),
    *("created_at", "started_at", "deadline_at", "finalized_at", "result_deleted_at"),
)
#: URL of a video in a list that is not read with `include=result`.
_UNSIGNED: Final = {"url": None, "expires_at": None}

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=BodyRoute)


States = Annotated[list[JobState], Query(alias="state", description="Only jobs in this state; may be repeated.")]
CustomIdFilter = Annotated[CustomId | None, Query(description="Only jobs with this `custom_id`.")]
Include = Annotated[
    list[Literal["result"]],
    Query(description="`result`: presign the URL of each video, which takes about a millisecond for each job."),
]


@router.post("", status_code=201, summary="Submit a job", responses=problems(409))
def create_job(  # noqa: PLR0913, PLR0917 - the parts of a request
    request: JobRequest,
    tenant: Tenant,
    limits: Limits,
    services: ServicesDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobDetail:
    """Queue one job.

    If an upload is missing or was rejected, no job is created and the error has the upload's error code.
    """
    keyed = idempotency.keyed(idempotency_key, request)
    job, replayed = services.store.jobs.insert_once(tenant, request.new_job(), keyed, limits)
    idempotency.mark(response, replayed=replayed)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return detail(job, services.store.jobs.attempts(tenant, job.id) if replayed else (), services)


@router.get("", summary="List jobs", response_model=JobListAnswer)
def list_jobs(  # noqa: PLR0913, PLR0917 - the parameters of the list
    tenant: Tenant,
    services: ServicesDep,
    window: Annotated[Window, Depends(pages.window)],
    states: States = [],  # noqa: B006 - read only
    custom_id: CustomIdFilter = None,
    include: Include = [],  # noqa: B006 - read only
) -> Response:
    """List jobs, newest first, without their attempts."""
    page = services.store.jobs.page(tenant, JobFilter(states=frozenset(states), custom_id=custom_id), window)
    return page_response(page.items, services, signed=bool(include), next_cursor=pages.next_cursor(page))


@router.get("/{job_id}", summary="Get a job", responses=problems(404))
async def get_job(
    job_id: UUID, tenant: Tenant, services: ServicesDep, request: Request, wait_s: WaitS = 0
) -> JobDetail:
    """Return a job with its progress and attempts and, once it succeeded, the URL of its video.

    With `wait_s` the response is delayed until the job is final.
    """

    def read() -> JobDetail:
        job = services.store.jobs.get(tenant, job_id)
        return detail(job, services.store.jobs.attempts(tenant, job_id), services)

    return await waiting.until(request, wait_s, read, lambda job: job.state in FINAL)


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=problems(404))
def cancel_job(job_id: UUID, tenant: Tenant, services: ServicesDep) -> JobDetail:
    """Cancel a job that is not final; its worker stops within seconds.

    A final job is returned unchanged, so the call is idempotent.
    """
    job = services.store.jobs.cancel(tenant, job_id)
    return detail(job, services.store.jobs.attempts(tenant, job_id), services)


@router.delete("/{job_id}", summary="Delete a job", **deletion.route(404))
def delete_job(job_id: UUID, tenant: Tenant, actor: Actor, services: ServicesDep) -> Response:
    """Delete a job and its video; its uploads are kept. A job that is not final is cancelled first."""
    return deletion.response(services.store.deletions.job(tenant, job_id, actor))


def detail(job: Job, attempts: Sequence[Attempt], services: Services) -> JobDetail:
    """Build the response for a job with its attempts, oldest first."""
    running = [attempt.started_at for attempt in attempts if attempt.ended_at is None]
    shown = _fields(job, running[-1] if running else None, services)
    return JobDetail.model_validate({**shown, "attempts": [AttemptAnswer.of(one) for one in attempts]})


def page_response(jobs: Iterable[ListedJob], services: Services, *, signed: bool, **members: object) -> Response:
    """Build the response of a list of jobs; it is a `JobListAnswer` that is written without its models.

    The database has written what it stores of each job, because a batch has thousands of them. Attempts are not loaded
    in lists, so the start of the current attempt is known for a first attempt only.

    Args:
        jobs: the jobs of the page.
        services: signs the URLs.
        signed: whether the results have URLs.
        members: the other members of the response.
    """
    now = datetime.now(UTC)
    data = ",".join([_listed(job, services, now, signed=signed) for job in jobs])
    return Response(f'{{"data":[{data}],{to_json(members).decode()[1:]}', media_type="application/json")


def _listed(job: ListedJob, services: Services, now: datetime, *, signed: bool) -> str:
    result = "null"
    if job.video_key is not None:
        url = _url(job.id, job.video_key, services, now) if signed else _UNSIGNED
        result = f"{to_json(url).decode()[:-1]},{job.result[1:]}"
    eta = eta_s(job, job.started_at if job.attempt_count == 1 else None, now)
    return f'{{"eta_s":{"null" if eta is None else eta},"result":{result},{job.members[1:]}'


def _fields(job: Job, attempt_started_at: datetime | None, services: Services) -> dict[str, object]:
    now = datetime.now(UTC)
    seconds, error_s = services.etas.of_job(job, attempt_started_at, now)
    return {
        **{name: getattr(job, name) for name in _COPIED},
        **asdict(job.options),
        "percent": job.progress_percent,
        "eta_s": seconds,
        "eta_error_s": error_s,
        "error": fault(job.error_code, job.error_detail),
        "result": _result(job, services, now),
    }


def _result(job: Job, services: Services, now: datetime) -> dict[str, object] | None:
    if job.result_key is None or job.result_deleted_at is not None:
        return None
    return {
        **_url(job.id, job.result_key, services, now),
        "sha256": job.result_sha256,
        "size_bytes": job.result_size_bytes,
        "duration_s": job.result_duration_s,
    }


def _url(job_id: UUID, video_key: str, services: Services, now: datetime) -> dict[str, object]:
    expires_s = services.limits.result_url_s
    return {
        "url": services.objects.presign_get(video_key, f"{job_id}.mp4", expires_s),
        "expires_at": now + timedelta(seconds=expires_s),
    }
