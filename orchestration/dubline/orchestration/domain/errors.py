"""Errors of requests, uploads and jobs, as one class tree.

The code of a class is part of the API and never changes. The class docstring is the default detail: what was wrong,
what was expected, what to do.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DublineError(Exception):
    """An internal error occurred. Try again; if it fails again, send the job id to the operator."""

    code: ClassVar[str] = "internal"
    retryable: bool = False
    """Whether the same operation may succeed when it is retried."""
    status: ClassVar[int] = 500
    """HTTP status of a response with this error."""
    retry_after_s: int = 5
    """Seconds after which a retryable operation may be tried again."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or _default_detail(type(self))
        super().__init__(self.detail)


class InternalError(DublineError):
    """An internal error occurred. Try again; if it fails again, send the job id to the operator."""


# Errors that the sender can correct by sending another file.


class BadInputError(DublineError):
    """The file cannot be used. Send another file."""

    code = "bad_input"
    status = 422
    crashed: bool = False
    """Whether its decoder crashed, which may be the fault of the machine."""


class NotAnImageError(BadInputError):
    """The portrait is not an image that can be decoded. Send JPEG, PNG, WebP or AVIF."""

    code = "not_an_image"


class NoFaceError(BadInputError):
    """No face was found in the portrait. Send an image of one face seen from the front."""

    code = "no_face"


class FaceTiltedError(BadInputError):
    """The head leans or nods too far to be animated. Send a picture that is upright, the face towards the camera."""

    code = "face_tilted"


class FaceProfileError(BadInputError):
    """The face is seen from the side. Send a picture of the face from the front."""

    code = "face_profile"


class FaceOccludedError(BadInputError):
    """The mouth or the eyes are covered or outside the picture. Send a picture in which both are visible."""

    code = "face_occluded"


class FaceTooSmallError(BadInputError):
    """The face has too few pixels to animate. Send a larger picture, or one cut closer to the face."""

    code = "face_too_small"


class NoSuchFaceError(BadInputError):
    """The portrait has no face with this number or at this point. Use one of the upload's `facts.faces`, or none."""

    code = "no_such_face"


class ImageTooSmallError(BadInputError):
    """The portrait has too few pixels to animate. Send a larger image."""

    code = "image_too_small"


class ImageTooLargeError(BadInputError):
    """The portrait has more pixels than the limit. Scale it down and send it again."""

    code = "image_too_large"


class NotAudioError(BadInputError):
    """The speech is not an audio file that can be decoded. Send WAV, MP3, FLAC, Ogg, M4A or WebM."""

    code = "not_audio"


class SpeechSilentError(BadInputError):
    """The speech is silent from start to end. Check the recording."""

    code = "speech_silent"


class SpeechTooShortError(BadInputError):
    """The speech is too short to animate. Send a longer recording."""

    code = "speech_too_short"


class SpeechTooLongError(BadInputError):
    """The speech is longer than the limit. Split it and send the parts as separate jobs."""

    code = "speech_too_long"


class MediaTruncatedError(BadInputError):
    """The file is shorter than its header states. Upload the complete file again."""

    code = "media_truncated"


class EmptyUploadError(BadInputError):
    """The file is empty. Upload a file with content."""

    code = "empty_upload"


class UploadTooLargeError(BadInputError):
    """The file has more bytes than the limit. Send a smaller one."""

    code = "upload_too_large"
    status = 413


class WrongContentTypeError(BadInputError):
    """The file is not of its declared type. Declare its actual type, or send another file."""

    code = "wrong_content_type"


class UploadMissingError(BadInputError):
    """There is no such upload, or its file was not received. PUT the file, then complete the upload."""

    code = "upload_missing"


class UploadSizeMismatchError(BadInputError):
    """The stored file does not have the declared length. Declare the exact length and upload it again."""

    code = "upload_size_mismatch"


# Errors of API calls.


class UploadNotReadyError(DublineError):
    """An upload is still being checked. Send the request again when its state is ready or rejected."""

    code = "upload_not_ready"
    retryable = True
    status = 409


class ConsentRequiredError(DublineError):
    """The operator requires a statement of consent for each portrait. Declare the portrait with `consent`."""

    code = "consent_required"
    status = 422


class UnauthorizedError(DublineError):
    """The API key is missing, unknown, expired or revoked. Send it as "Authorization: Bearer KEY"."""

    code = "unauthorized"
    status = 401


class ForbiddenError(DublineError):
    """The API key lacks the scope that this request needs. Use a key that has it."""

    code = "forbidden"
    status = 403


class TooManyBadKeysError(DublineError):
    """Too many requests with unknown API keys came from this address. Correct the key; wait `Retry-After` seconds."""

    code = "too_many_bad_keys"
    retryable = True
    status = 429


class RateLimitedError(DublineError):
    """The tenant sent too many requests in a short time. Send the request again after `Retry-After` seconds."""

    code = "rate_limited"
    retryable = True
    status = 429


class QuotaExceededError(DublineError):
    """The tenant holds as much as it may. Wait until jobs are final, or delete files; then send the request again."""

    code = "quota_exceeded"
    retryable = True
    status = 409
    retry_after_s = 60


class NotFoundError(DublineError):
    """There is no object with this id. Check the id and the API key that it was created with."""

    code = "not_found"
    status = 404


class UploadInUseError(DublineError):
    """A job that is not final uses this upload. Cancel the job or wait until it ends, then delete the upload."""

    code = "upload_in_use"
    status = 409


class InvalidRequestError(DublineError):
    """The request is not valid. `errors` lists the fields."""

    code = "invalid_request"
    status = 422

    def __init__(self, detail: str | None = None, errors: Sequence[Mapping[str, object]] = ()) -> None:
        """Keep the faults of the fields.

        Args:
            detail: sentence about the whole request.
            errors: one mapping per fault; for a batch with keys `row` (from 0), `field`, `code` and `detail`.
        """
        super().__init__(detail)
        self.errors = tuple(errors)


class InvalidBatchError(InvalidRequestError):
    """Some rows of the batch are not valid, so nothing was accepted. Correct the rows listed in `errors`."""

    code = "invalid_batch"


class IdempotencyKeyReusedError(InvalidRequestError):
    """The idempotency key was already used with a different request. Use a new key for a new request."""

    code = "idempotency_key_reused"


class TooManyRowsError(DublineError):
    """The batch has more rows than the limit. Split it into several batches."""

    code = "too_many_rows"
    status = 413


# Transient errors and errors of workers.


class StorageUnavailableError(DublineError):
    """The object storage does not respond. No data is lost; the operation is retried."""

    code = "storage_unavailable"
    retryable = True
    status = 503


class DatabaseUnavailableError(DublineError):
    """The database does not respond. No data is lost; send the request again later."""

    code = "database_unavailable"
    retryable = True
    status = 503


class BacklogUnknownError(DatabaseUnavailableError):
    """The waiting jobs are not counted yet, because a migration is running. Send the request again when it is done."""

    code = "backlog_unknown"


class BusyError(DublineError):
    """The service has too much to do at the moment. Send the request again after `Retry-After` seconds."""

    code = "busy"
    retryable = True
    status = 503


class BrokerUnavailableError(DublineError):
    """The broker does not respond. No data is lost; workers find the work when they poll the database."""

    code = "broker_unavailable"
    retryable = True
    status = 503


class ScratchFullError(DublineError):
    """The worker has no disk space left for this job. No data is lost; the job is retried."""

    code = "scratch_full"
    retryable = True


class EncoderFailedError(DublineError):
    """The video encoder stopped with an error."""

    code = "encoder_failed"
    retryable = True


class OutOfMemoryError(DublineError):
    """The worker ran out of memory on this job."""

    code = "out_of_memory"
    retryable = True


class WeightsUnusableError(DublineError):
    """The weights of the job are missing, or are not those that it is pinned to. The operator pushes them again."""

    code = "weights_unusable"
    retryable = True


class WorkerLostError(DublineError):
    """The worker was lost while it processed the job: its lease expired."""

    code = "worker_lost"
    retryable = True


class DeviceFailedError(DublineError):
    """The worker's device failed while it processed the job; the worker restarts."""

    code = "device_failed"
    retryable = True


# Ends of jobs and leases.


class DeadlineExceededError(DublineError):
    """The job was not finished by its deadline. Submit it again with a later one."""

    code = "deadline_exceeded"
    status = 422


class CancelledError(DublineError):
    """The job was cancelled."""

    code = "cancelled"
    status = 409


class AttemptsExhaustedError(DublineError):
    """All attempts at the job failed. See its attempts for the reasons; submit it again to retry."""

    code = "attempts_exhausted"
    status = 422


class LeaseLostError(DublineError):
    """The lease is no longer valid, so the write was refused: the job was rescued, cancelled, deleted or ended."""

    code = "lease_lost"


def from_code(code: str, detail: str | None = None) -> DublineError:
    """Create the error of a stored code and its sentence; a code without a class becomes an internal error."""
    return _BY_CODE.get(code, InternalError)(detail=detail)


def _default_detail(cls: type[DublineError]) -> str:
    # An interpreter with -OO has no docstrings.
    text = inspect.cleandoc(cls.__doc__ or f"The error is {cls.code}.")
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())


def _subtree(cls: type[DublineError]) -> list[type[DublineError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in _subtree(child))]


_BY_CODE: Final[Mapping[str, type[DublineError]]] = {cls.code: cls for cls in reversed(_subtree(DublineError))}
