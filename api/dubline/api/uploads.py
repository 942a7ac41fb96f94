"""Uploads: a sender declares a file, puts its bytes into the bucket, and says when they are there."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Response

from dubline.api import deletion
from dubline.api.auth import Actor, Tenant
from dubline.api.openapi import problems
from dubline.api.schemas.uploads import PutAnswer, UploadAnswer, UploadCreated, UploadRequest
from dubline.api.services import Services, Wired
from dubline.orchestration.domain.errors import (
    EmptyUploadError,
    UploadMissingError,
    UploadSizeMismatchError,
    UploadTooLargeError,
    WrongContentTypeError,
)
from dubline.orchestration.domain.uploads import Upload, UploadKind, UploadState
from dubline.orchestration.settings import LimitSettings

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

#: Browsers and operating systems disagree about the names; what the bytes are is found out by the probe, which
#: alone decides about a file of unknown type.
UNKNOWN_TYPE: Final = "application/octet-stream"
PORTRAIT_TYPES: Final = frozenset({"image/jpeg", "image/jpg", "image/pjpeg", "image/png", "image/webp", UNKNOWN_TYPE})
SPEECH_TYPES: Final = frozenset(
    {
        *("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"),
        *("audio/mpeg", "audio/mp3", "audio/mpeg3", "audio/x-mp3"),
        *("audio/flac", "audio/x-flac"),
        *("audio/ogg", "audio/opus", "audio/vorbis", "application/ogg"),
        *("audio/mp4", "audio/m4a", "audio/x-m4a", "video/mp4"),
        *("audio/aac", "audio/x-aac", "audio/aacp"),
        UNKNOWN_TYPE,
    }
)
_ADVICE: Final = {
    UploadKind.PORTRAIT: f"Send image/jpeg, image/png or image/webp; {UNKNOWN_TYPE} where the type is not known.",
    UploadKind.SPEECH: "Send audio/wav, audio/mpeg, audio/flac, audio/ogg, audio/mp4 or audio/aac; "
    f"{UNKNOWN_TYPE} where the type is not known.",
}


@router.post("", status_code=201, summary="Declare a file", responses=problems(401, 413, 422, 503))
def create_upload(request: UploadRequest, tenant: Tenant, services: Wired, response: Response) -> UploadCreated:
    """Declare one file and get a presigned URL to PUT exactly its bytes to. Then call complete."""
    content_type = _accepted_type(request)
    _check_size(request, services.limits)
    upload = services.store.uploads.insert(tenant, request.kind, content_type, request.size_bytes)
    put = services.objects.presign_put(upload.object_key, content_type, upload.size_bytes, services.limits.put_url_s)
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    return UploadCreated.to(upload, PutAnswer(url=put.url, headers=dict(put.headers), expires_at=put.expires_at))


@router.post(
    "/{upload_id}/complete",
    status_code=202,
    summary="Say that the bytes are there",
    responses=problems(401, 404, 422, 503),
)
def complete_upload(upload_id: UUID, tenant: Tenant, services: Wired) -> UploadAnswer:
    """Have the file checked, once; saying it again is harmless.

    Poll the upload until it is ready or rejected. A file of another length than declared is rejected at once.
    """
    upload = services.store.uploads.get(tenant, upload_id)
    if upload.state is UploadState.PENDING:
        try:
            _check_arrived(upload, services)
        except UploadSizeMismatchError as error:
            # Kept, so that a batch that names the upload tells the same.
            services.store.uploads.refuse(tenant, upload_id, error.code, error.detail)
            raise
        upload = services.store.uploads.mark_probing(tenant, upload_id)
    return UploadAnswer.of(upload)


@router.get("/{upload_id}", summary="Look at an upload", responses=problems(401, 404, 422))
def get_upload(upload_id: UUID, tenant: Tenant, services: Wired) -> UploadAnswer:
    """Say whether a file was checked, and what was found in it."""
    return UploadAnswer.of(services.store.uploads.get(tenant, upload_id))


@router.delete("/{upload_id}", summary="Delete an upload", **deletion.route(401, 404, 409, 422, 503))
def delete_upload(upload_id: UUID, tenant: Tenant, actor: Actor, services: Wired) -> Response:
    """Forget a file and remove its bytes. Refused with `upload_in_use` while a job that is not final names it."""
    return deletion.answer(services.store.deletions.upload(tenant, upload_id, actor))


def _accepted_type(request: UploadRequest) -> str:
    """Reduce the declared type to its bare lower-case name; parameters such as codecs do not matter here."""
    content_type = request.content_type.partition(";")[0].strip().lower()
    accepted = PORTRAIT_TYPES if request.kind is UploadKind.PORTRAIT else SPEECH_TYPES
    if content_type not in accepted:
        raise WrongContentTypeError(f"A {request.kind.value} may not be declared as this. {_ADVICE[request.kind]}")
    return content_type


def _check_size(request: UploadRequest, limits: LimitSettings) -> None:
    limit_bytes = limits.portrait_bytes if request.kind is UploadKind.PORTRAIT else limits.upload_bytes
    if request.size_bytes <= 0:
        raise EmptyUploadError
    if request.size_bytes > limit_bytes:
        raise UploadTooLargeError(
            f"A {request.kind.value} may have {limit_bytes:,} bytes at most. Send a smaller file."
        )


def _check_arrived(upload: Upload, services: Services) -> None:
    arrived_bytes = services.objects.size_bytes(upload.object_key)
    if arrived_bytes is None:
        raise UploadMissingError("The bytes have not arrived. PUT the file to its URL, then complete it.")
    if arrived_bytes != upload.size_bytes:
        raise UploadSizeMismatchError(
            f"{upload.size_bytes:,} bytes were declared but {arrived_bytes:,} arrived. "
            "Declare the file anew and send exactly its bytes."
        )
