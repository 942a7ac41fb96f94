"""Routes of batches: many jobs that are accepted in one call."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from dubline.api import cursors, deletion
from dubline.api.auth import Actor, Tenant
from dubline.api.bodies import BodyRoute
from dubline.api.jobs import summary
from dubline.api.openapi import problems
from dubline.api.schemas.batches import BatchAnswer, BatchRequest
from dubline.api.schemas.jobs import JobPageAnswer
from dubline.api.services import ServicesDep

router = APIRouter(prefix="/v1/batches", tags=["batches"], route_class=BodyRoute)

PAGE_LIMIT: Final = 500

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description=(
            "A random key, to be stored before the request is sent. The same key with the same body returns the "
            "existing batch and `Idempotency-Replayed: true`; with another body it is rejected."
        ),
    ),
]
Limit = Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Number of jobs on one page.")]
Cursor = Annotated[
    str | None, Query(max_length=64, description="`next_cursor` of the previous page; omit for the first page.")
]

Inputs = Annotated[
    bool, Query(description="Delete the batch's uploads too, except those that a job outside the batch uses.")
]


@router.post("", status_code=201, summary="Submit a batch", responses=problems(401, 409, 413, 422, 503))
def create_batch(
    request: BatchRequest,
    tenant: Tenant,
    services: ServicesDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> BatchAnswer:
    """Queue many jobs in one call.

    If a row is malformed, the whole batch is rejected and the row is listed in `errors`. A row whose upload is missing
    or was rejected becomes a failed job; the other rows are queued.
    """
    batch, replayed = services.store.batches.insert(
        tenant,
        [row.new_job() for row in request.jobs],
        idempotency_key,
        _fingerprint(request),
        request.retention.seconds(),
    )
    response.headers["Location"] = f"/v1/batches/{batch.id}"
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return BatchAnswer.of(batch)


@router.get("/{batch_id}", summary="Get a batch", responses=problems(401, 404, 422))
def get_batch(batch_id: UUID, tenant: Tenant, services: ServicesDep) -> BatchAnswer:
    """Return a batch with the number of its jobs in each state."""
    return BatchAnswer.of(services.store.batches.get(tenant, batch_id))


@router.get("/{batch_id}/jobs", summary="List a batch's jobs", responses=problems(401, 404, 422, 503))
def list_jobs(
    batch_id: UUID, tenant: Tenant, services: ServicesDep, limit: Limit = 100, cursor: Cursor = None
) -> JobPageAnswer:
    """List the jobs in the order of the batch's rows, without their attempts."""
    after = None if cursor is None else cursors.decode(batch_id, cursor)
    page = services.store.batches.jobs(tenant, batch_id, after, limit)
    following = None if page.next_after is None else cursors.encode(batch_id, page.next_after)
    return JobPageAnswer(data=[summary(job, services) for job in page.jobs], next_cursor=following)


@router.post("/{batch_id}/cancel", summary="Cancel a batch", responses=problems(401, 404, 422, 503))
def cancel_batch(batch_id: UUID, tenant: Tenant, services: ServicesDep) -> BatchAnswer:
    """Cancel every job of the batch that is not final. Final jobs keep their state and video. Idempotent."""
    return BatchAnswer.of(services.store.batches.cancel(tenant, batch_id))


@router.delete("/{batch_id}", summary="Delete a batch", **deletion.route(401, 404, 422, 503))
def delete_batch(
    batch_id: UUID, tenant: Tenant, actor: Actor, services: ServicesDep, *, inputs: Inputs = False
) -> Response:
    """Delete a batch with all its jobs and videos. Jobs that are not final are cancelled first."""
    return deletion.response(services.store.deletions.batch(tenant, batch_id, actor, inputs=inputs))


def _fingerprint(request: BatchRequest) -> str:
    # A hash of the parsed request without defaults: explicit defaults, the order of fields and fields that a later
    # version adds do not change it.
    return hashlib.sha256(request.model_dump_json(exclude_defaults=True).encode()).hexdigest()
