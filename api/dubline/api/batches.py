"""Routes of batches: many jobs that are accepted in one call."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from dubline.api import cursors, deletion, idempotency, pages, waiting
from dubline.api.auth import Actor, Limits, Tenant
from dubline.api.bodies import BodyRoute
from dubline.api.idempotency import IdempotencyKey
from dubline.api.jobs import Include, States, page_response
from dubline.api.openapi import problems
from dubline.api.pages import Cursor, Limit
from dubline.api.schemas.batches import BatchAnswer, BatchListAnswer, BatchListItem, BatchRequest
from dubline.api.schemas.fields import KeyText
from dubline.api.schemas.jobs import JobPageAnswer
from dubline.api.services import Services, ServicesDep
from dubline.api.waiting import WaitS
from dubline.orchestration.domain.batches import Batch, JobPage
from dubline.orchestration.domain.listing import BatchFilter, Window

router = APIRouter(prefix="/v1/batches", tags=["batches"], route_class=BodyRoute)

ChangedSince = Annotated[
    int | None,
    Query(
        ge=0,
        lt=2**63,
        description="`changed_until` of an earlier page: only jobs that changed since. Deleted jobs are not reported.",
    ),
]
Finished = Annotated[bool | None, Query(description="Only batches whose jobs are all final, or are not.")]
Inputs = Annotated[
    bool, Query(description="Delete the batch's uploads too, except those that a job outside the batch uses.")
]


@router.post("", status_code=201, summary="Submit a batch", responses=problems(409))
def create_batch(  # noqa: PLR0913, PLR0917 - the parts of a request
    request: BatchRequest,
    tenant: Tenant,
    limits: Limits,
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
        idempotency.fingerprint(request),
        request.retention.seconds(),
        limits,
    )
    response.headers["Location"] = f"/v1/batches/{batch.id}"
    idempotency.mark(response, replayed=replayed)
    return _answer(batch, services)


@router.get("", summary="List batches")
def list_batches(
    tenant: Tenant,
    services: ServicesDep,
    window: Annotated[Window, Depends(pages.window)],
    finished: Finished = None,
    idempotency_key: Annotated[
        KeyText | None, Query(description="Only the batch that was created with this key.")
    ] = None,
) -> BatchListAnswer:
    """List batches, newest first, without counting their jobs in each state."""
    which = BatchFilter(finished=finished, idempotency_key=idempotency_key)
    page = services.store.batches.page(tenant, which, window)
    return BatchListAnswer(data=[BatchListItem.of(one) for one in page.items], next_cursor=pages.next_cursor(page))


@router.get("/{batch_id}", summary="Get a batch", responses=problems(404))
async def get_batch(
    batch_id: UUID, tenant: Tenant, services: ServicesDep, request: Request, wait_s: WaitS = 0
) -> BatchAnswer:
    """Return a batch with the number of its jobs in each state.

    With `wait_s` the response is delayed until every job is final.
    """

    def read() -> BatchAnswer:
        return _answer(services.store.batches.get(tenant, batch_id), services)

    return await waiting.until(request, wait_s, read, lambda batch: batch.finished)


@router.get(
    "/{batch_id}/jobs",
    summary="List a batch's jobs",
    response_model=JobPageAnswer,
    responses=problems(404),
)
async def list_jobs(  # noqa: PLR0913, PLR0917 - the parameters of the list
    batch_id: UUID,
    tenant: Tenant,
    services: ServicesDep,
    request: Request,
    limit: Limit = 100,
    cursor: Cursor = None,
    states: States = [],  # noqa: B006 - read only
    changed_since: ChangedSince = None,
    include: Include = [],  # noqa: B006 - read only
    wait_s: WaitS = 0,
) -> Response:
    """List the jobs in the order of the batch's rows, without their attempts.

    With `wait_s` the response is delayed until the page has a job, which is useful with `changed_since`.
    """
    after = None if cursor is None else cursors.decode(batch_id, cursor)

    def read() -> JobPage:
        return services.store.batches.jobs(tenant, batch_id, after, limit, states, changed_since)

    def respond(page: JobPage) -> Response:
        following = None if page.next_after is None else cursors.encode(batch_id, page.next_after)
        return page_response(
            page.jobs, services, signed=bool(include), next_cursor=following, changed_until=page.changed_until
        )

    page = await waiting.until(request, wait_s, read, lambda page: bool(page.jobs))
    return await run_in_threadpool(respond, page)


@router.post("/{batch_id}/cancel", summary="Cancel a batch", responses=problems(404))
def cancel_batch(batch_id: UUID, tenant: Tenant, services: ServicesDep) -> BatchAnswer:
    """Cancel every job of the batch that is not final. Final jobs keep their state and video. Idempotent."""
    return _answer(services.store.batches.cancel(tenant, batch_id), services)


@router.delete("/{batch_id}", summary="Delete a batch", **deletion.route(404))
def delete_batch(
    batch_id: UUID, tenant: Tenant, actor: Actor, services: ServicesDep, *, inputs: Inputs = False
) -> Response:
    """Delete a batch with all its jobs and videos. Jobs that are not final are cancelled first."""
    return deletion.response(services.store.deletions.batch(tenant, batch_id, actor, inputs=inputs))


def _answer(batch: Batch, services: Services) -> BatchAnswer:
    return BatchAnswer.of(batch, services.etas.of_batch(batch))
