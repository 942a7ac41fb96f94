"""Every way a request, an upload or a job can fail, as one tree.

The code of a class is a promise to clients and never changes. The class docstring is the sentence a person
reads when the raiser has nothing more exact to say: what was wrong, what was expected, what to do.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DublineError(Exception):
    """Something failed inside the service. Try again; if it goes on, tell the operator the job id."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    """Whether the same work may succeed on another attempt."""
    status: ClassVar[int] = 500
    """HTTP status when the error answers a request."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or _sentence(type(self))
        super().__init__(self.detail)


class InternalError(DublineError):
    """Something failed inside the service. Try again; if it goes on, tell the operator the job id."""


# What the sender can repair by sending something else.


class BadInputError(DublineError):
    """The input cannot be used. Send another file."""

    code = "bad_input"
    status = 422


class NotAnImageError(BadInputError):
    """The portrait is not a PNG, JPEG or WebP picture that can be decoded. Send one of these."""

    code = "not_an_image"


class NoFaceError(BadInputError):
    """No face was found in the portrait. Send a picture of one face, seen from the front."""

    code = "no_face"


class ImageTooSmallError(BadInputError):
    """The portrait, or the face in it, has too few pixels to animate. Send a larger picture."""

    code = "image_too_small"


class ImageTooLargeError(BadInputError):
    """The portrait has more pixels than are accepted. Scale it down and send it again."""

    code = "image_too_large"


class NotAudioError(BadInputError):
    """The speech is not an audio file that can be decoded. Send WAV, MP3, FLAC, Ogg or M4A."""

    code = "not_audio"


class SpeechSilentError(BadInputError):
    """The speech is silent from start to end, so there is nothing to say. Check the recording."""

    code = "speech_silent"


class SpeechTooShortError(BadInputError):
    """The speech is too short to animate. Send a longer recording."""

    code = "speech_too_short"


class SpeechTooLongError(BadInputError):
    """The speech is longer than is accepted. Split it and send the parts as separate jobs."""

    code = "speech_too_long"


class MediaTruncatedError(BadInputError):
    """The file ends before its own header says it should. Upload the whole file again."""

    code = "media_truncated"


class EmptyUploadError(BadInputError):
    """The file holds no bytes. Upload a file with content."""

    code = "empty_upload"


class UploadTooLargeError(BadInputError):
    """The file has more bytes than are accepted. Send a smaller one."""

    code = "upload_too_large"
    status = 413


class WrongContentTypeError(BadInputError):
    """The file is not of the kind that was declared for it. Declare what it is, or send another."""

    code = "wrong_content_type"


class UploadMissingError(BadInputError):
    """There is no such upload, or its bytes never arrived. PUT the file, then complete the upload."""

    code = "upload_missing"


class UploadSizeMismatchError(BadInputError):
    """The stored file is not of the declared length. Declare the exact length and upload it again."""

    code = "upload_size_mismatch"


# What the caller of the API did wrong.


class UploadNotReadyError(DublineError):
    """An upload is still being checked. Send the request again when its state is ready or rejected."""

    code = "upload_not_ready"
    retryable = True
    status = 409


class UnauthorizedError(DublineError):
    """The API key is missing or unknown. Send it as "Authorization: Bearer KEY"."""

    code = "unauthorized"
    status = 401


class NotFoundError(DublineError):
    """There is nothing with this id. Check the id and the API key it was made with."""

    code = "not_found"
    status = 404


class UploadInUseError(DublineError):
    """A job that is not final names this upload. Cancel the job or let it end, then delete the upload."""

    code = "upload_in_use"
    status = 409


class InvalidRequestError(DublineError):
    """The request is not valid. The errors name each field."""

    code = "invalid_request"
    status = 422

    def __init__(self, detail: str | None = None, errors: Sequence[Mapping[str, object]] = ()) -> None:
        """Keep what is wrong with each field.

        Args:
            detail: the sentence for the whole request.
            errors: one mapping per fault; of a batch: `row` (from 0), `field`, `code`, `detail`.
        """
        super().__init__(detail)
        self.errors = tuple(errors)


class InvalidBatchError(InvalidRequestError):
    """Some rows of the batch are not valid, so nothing was accepted. Repair the rows named in errors."""

    code = "invalid_batch"


class IdempotencyKeyReusedError(InvalidRequestError):
    """The idempotency key was used before with another request. Use a new key for a new request."""

    code = "idempotency_key_reused"


class TooManyRowsError(DublineError):
    """The batch has more rows than are accepted in one call. Split it into several batches."""

    code = "too_many_rows"
    status = 413


# What may pass by itself.


class StorageUnavailableError(DublineError):
    """The object storage does not answer. Nothing is lost; the work is tried again."""

    code = "storage_unavailable"
    retryable = True
    status = 503


class DatabaseUnavailableError(DublineError):
    """The database does not answer. Nothing is lost; send the request again in a moment."""

    code = "database_unavailable"
    retryable = True
    status = 503


class BrokerUnavailableError(DublineError):
    """The broker does not answer. Nothing is lost; workers find the work by themselves, a little later."""

    code = "broker_unavailable"
    retryable = True
    status = 503


class ScratchFullError(DublineError):
    """The worker has no disk space left for this job. Nothing is lost; the work is tried again."""

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


class WorkerLostError(DublineError):
    """The worker stopped answering while it held the job."""

    code = "worker_lost"
    retryable = True


class DeviceFailedError(DublineError):
    """The worker's device failed while it held the job, and the worker starts afresh."""

    code = "device_failed"
    retryable = True


# Ends of a job or of a lease.


class DeadlineExceededError(DublineError):
    """The job was not done by its deadline. Submit it again with a later one."""

    code = "deadline_exceeded"
    status = 422


class CancelledError(DublineError):
    """The job was cancelled."""

    code = "cancelled"
    status = 409


class AttemptsExhaustedError(DublineError):
    """Every attempt that the job is allowed has failed. Its attempts say why; submit it again to retry."""

    code = "attempts_exhausted"
    status = 422


class LeaseLostError(DublineError):
    """The lease on this work was taken away, so its outcome was not recorded. Another worker has it."""

    code = "lease_lost"


def from_code(code: str, detail: str | None = None) -> DublineError:
    """Make the error that a stored code stands for.

    Args:
        code: a code kept in a row; one that no class has any more becomes an internal error.
        detail: the stored sentence.
    """
    return _BY_CODE.get(code, InternalError)(detail=detail)


def _sentence(cls: type[DublineError]) -> str:
    return " ".join((inspect.getdoc(cls) or "").split("\n\n", maxsplit=1)[0].split())


def _tree(cls: type[DublineError]) -> list[type[DublineError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in _tree(child))]


_BY_CODE: Final[Mapping[str, type[DublineError]]] = {cls.code: cls for cls in reversed(_tree(DublineError))}
