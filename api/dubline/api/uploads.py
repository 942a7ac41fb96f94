"""Routes of uploads: declare a file, PUT its bytes to the bucket, and complete it."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from dubline.api import deletion, idempotency, pages
from dubline.api.auth import Actor, Limits, Tenant
from dubline.api.bodies import BodyRoute
from dubline.api.bulkhead import Bulkhead
from dubline.api.idempotency import IdempotencyKey
from dubline.api.openapi import problems
from dubline.api.schemas.uploads import PutAnswer, UploadAnswer, UploadCreated, UploadListAnswer, UploadRequest
from dubline.api.services import ServicesDep
from dubline.orchestration.domain.errors import (
    ConsentRequiredError,
    EmptyUploadError,
    InvalidRequestError,
    UploadMissingError,
    UploadSizeMismatchError,
    UploadTooLargeError,
    WrongContentTypeError,
)
from dubline.orchestration.domain.listing import UploadFilter, Window
from dubline.orchestration.domain.quotas import TenantLimits
from dubline.orchestration.domain.uploads import Upload, UploadKind, UploadState
from dubline.orchestration.settings import LimitSettings

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=BodyRoute)

#: Accepted for files of unknown type. The probe determines the type from the bytes in any case; browsers and
#: operating systems use different names for one type.
UNKNOWN_TYPE: Final = "application/octet-stream"
PORTRAIT_TYPES: Final = frozenset(
    {"image/jpeg", "image/jpg", "image/pjpeg", "image/png", "image/webp", "image/avif", UNKNOWN_TYPE}
)
SPEECH_TYPES: Final = frozenset(
    {
        *("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"),
        *("audio/mpeg", "audio/mp3", "audio/mpeg3", "audio/x-mp3"),
        *("audio/flac", "audio/x-flac"),
        *("audio/ogg", "audio/opus", "audio/vorbis", "application/ogg"),
        *("audio/mp4", "audio/m4a", "audio/x-m4a", "video/mp4"),
        *("audio/webm", "video/webm", "audio/x-matroska", "video/x-matroska"),
        *("audio/aac", "audio/x-aac", "audio/aacp"),
        UNKNOWN_TYPE,
    }
)
_EXPECTED: Final = {
    UploadKind.PORTRAIT: "Send image/jpeg, image/png, image/webp or image/avif, not HEIC; "
    f"{UNKNOWN_TYPE} if the type is unknown.",
    UploadKind.SPEECH: "Send audio/wav, audio/mpeg, audio/flac, audio/ogg, audio/mp4, audio/webm or audio/aac; "
    f"{UNKNOWN_TYPE} if the type is unknown.",
}


States = Annotated[list[UploadState], Query(alias="state", description="Only uploads in this state; may be repeated.")]


@router.post("", status_code=201, summary="Declare a file", responses=problems(409))
def create_upload(  # noqa: PLR0913, PLR0917 - the parts of a request
    request: UploadRequest,
    tenant: Tenant,
    limits: Limits,
    services: ServicesDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> UploadCreated:
    """Declare a file and get a presigned URL for a PUT of exactly its bytes. Then call `complete`."""
    content_type = _accepted_type(request)
    _check_size(request, largest_bytes(request.kind, services.limits, limits))
    _check_consent(request, services.limits)
    keyed = idempotency.keyed(idempotency_key, request)
    consent = None if request.consent is None else request.consent.consent()
    upload, replayed = services.store.uploads.insert_once(
        tenant,
        request.kind,
        content_type,
        request.size_bytes,
        keyed,
        limits,
        consent,
        services.limits.unused_upload_s,
    )
    idempotency.mark(response, replayed=replayed)
    put = services.objects.presign_put(upload.object_key, content_type, upload.size_bytes, services.limits.put_url_s)
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    return UploadCreated.to(upload, PutAnswer(url=put.url, headers=dict(put.headers), expires_at=put.expires_at))


@router.get("", summary="List uploads")
def list_uploads(  # noqa: PLR0913, PLR0917 - the parameters of the list
    tenant: Tenant,
    services: ServicesDep,
    window: Annotated[Window, Depends(pages.window)],
    states: States = [],  # noqa: B006 - read only
    kind: Annotated[UploadKind | None, Query(description="Only files of this role.")] = None,
    sha256: Annotated[
        str | None, Query(pattern="^[0-9a-f]{64}$", description="Only files with this hash; they are ready.")
    ] = None,
) -> UploadListAnswer:
    """List uploads, newest first. With `sha256` a client finds a file that it need not send again."""
    which = UploadFilter(states=frozenset(states), kind=kind, sha256=sha256)
    page = services.store.uploads.page(tenant, which, window)
    return UploadListAnswer(data=[UploadAnswer.of(one) for one in page.items], next_cursor=pages.next_cursor(page))


@router.post(
    "/{upload_id}/complete",
    status_code=202,
    summary="Complete an upload",
    responses=problems(404),
)
async def complete_upload(upload_id: UUID, tenant: Tenant, services: ServicesDep, request: Request) -> UploadAnswer:
    """Queue the file for its probe, after its bytes were sent. Idempotent.

    Poll the upload until it is ready or rejected. A file of another length than declared is rejected immediately.
    """
    uploads = services.store.uploads
    upload = await run_in_threadpool(uploads.get, tenant, upload_id)
    if upload.state is UploadState.PENDING:
        bulkhead: Bulkhead = request.app.state.bulkhead
        received_bytes = await bulkhead.run(partial(services.objects.size_bytes, upload.object_key))
        try:
            _check_received(upload, received_bytes)
        except UploadSizeMismatchError as error:
            # Stored, so that jobs with this upload fail with the same error.
            await run_in_threadpool(uploads.reject_pending, tenant, upload_id, error.code, error.detail)
            raise
        upload = await run_in_threadpool(uploads.mark_probing, tenant, upload_id)
    return UploadAnswer.of(upload)


@router.get("/{upload_id}", summary="Get an upload", responses=problems(404))
def get_upload(upload_id: UUID, tenant: Tenant, services: ServicesDep) -> UploadAnswer:
    """Return the state of an upload and the results of its probe."""
    return UploadAnswer.of(services.store.uploads.get(tenant, upload_id))


@router.delete("/{upload_id}", summary="Delete an upload", **deletion.route(404, 409))
def delete_upload(upload_id: UUID, tenant: Tenant, actor: Actor, services: ServicesDep) -> Response:
    """Delete an upload and its file. Rejected with `upload_in_use` while a job that is not final uses it."""
    return deletion.response(services.store.deletions.upload(tenant, upload_id, actor))


def _accepted_type(request: UploadRequest) -> str:
    """Return the declared type in lower case without parameters such as codecs."""
    content_type = request.content_type.partition(";")[0].strip().lower()
    accepted = PORTRAIT_TYPES if request.kind is UploadKind.PORTRAIT else SPEECH_TYPES
    if content_type not in accepted:
        raise WrongContentTypeError(
            f"The content type is not accepted for a {request.kind.value}. {_EXPECTED[request.kind]}"
        )
    return content_type


def largest_bytes(kind: UploadKind, server: LimitSettings, own: TenantLimits) -> int:
    """Return the size of the largest file that a tenant may send."""
    file_bytes = server.upload_bytes if own.upload_bytes is None else own.upload_bytes
    return min(server.portrait_bytes, file_bytes) if kind is UploadKind.PORTRAIT else file_bytes


def _check_size(request: UploadRequest, limit_bytes: int) -> None:
    if request.size_bytes <= 0:
        raise EmptyUploadError
    if request.size_bytes > limit_bytes:
        raise UploadTooLargeError(
            f"A {request.kind.value} may have at most {limit_bytes:,} bytes. Send a smaller file."
        )


def _check_consent(request: UploadRequest, limits: LimitSettings) -> None:
    if request.kind is not UploadKind.PORTRAIT:
        if request.consent is not None:
            raise InvalidRequestError("`consent` is stated for a portrait only. Leave it out here.")
    elif request.consent is None and limits.require_consent:
        raise ConsentRequiredError


def _check_received(upload: Upload, received_bytes: int | None) -> None:
    if received_bytes is None:
        raise UploadMissingError("The file was not uploaded. PUT it to its URL, then complete the upload.")
    if received_bytes != upload.size_bytes:
        raise UploadSizeMismatchError(
            f"{upload.size_bytes:,} bytes were declared but {received_bytes:,} were received. "
            "Create a new upload and send exactly the declared bytes."
        )
