"""Limits of a tenant, what it holds of them, and the decision whether it may hold more."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

from dubline.orchestration.domain.errors import QuotaExceededError


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """Limits of one tenant. None: the server's default, and in the defaults no limit."""

    requests_per_s: float | None = None
    """Requests in a second, averaged over `rates.WINDOW_S`."""
    queued_jobs: int | None = None
    """Jobs that are not final."""
    queued_s: float | None = None
    """Their seconds of speech."""
    running_jobs: int | None = None
    """Jobs that workers process at once."""
    stored_bytes: int | None = None
    """Declared bytes of uploads, and bytes of videos."""
    upload_bytes: int | None = None
    """Bytes of one file."""

    def over(self, defaults: TenantLimits) -> Self:
        """Return these limits, with the default of each one that is None."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen: dict[str, Any] = {
            name: getattr(defaults, name) if value is None else value for name, value in own.items()
        }
        return type(self)(**chosen)


_WAIT: Final = "Wait until jobs are final, or cancel some."
#: No limits: for callers inside the service.
UNLIMITED: Final = TenantLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a tenant holds."""

    jobs: int
    """Jobs that are not final."""
    speech_s: float
    """Their seconds of speech."""
    stored_bytes: int
    """Declared bytes of uploads, and bytes of videos."""


def check_jobs(held: Holdings, jobs: int, speech_s: float, limits: TenantLimits) -> None:
    """Check that a tenant may queue more jobs.

    Raises:
        QuotaExceededError: it would have too many jobs or too many seconds of speech.
    """
    if limits.queued_jobs is not None and held.jobs + jobs > limits.queued_jobs:
        text = (
            f"The request has {jobs:,} jobs, the tenant has {held.jobs:,} that are not final, and it may have"
            f" {limits.queued_jobs:,}."
        )
        raise _refusal(text, _WAIT, "Send smaller requests.", hopeless=jobs > limits.queued_jobs)
    if limits.queued_s is not None and held.speech_s + speech_s > limits.queued_s:
        text = (
            f"The request has {speech_s:,.0f} s of speech, the jobs that are not final have {held.speech_s:,.0f} s, and"
            f" the tenant may have {limits.queued_s:,.0f} s."
        )
        raise _refusal(text, _WAIT, "Send smaller requests.", hopeless=speech_s > limits.queued_s)


def check_upload(held: Holdings, size_bytes: int, limits: TenantLimits) -> None:
    """Check that a tenant may store another file.

    Raises:
        QuotaExceededError: it would store too many bytes.
    """
    if limits.stored_bytes is not None and held.stored_bytes + size_bytes > limits.stored_bytes:
        text = (
            f"The file has {size_bytes:,} bytes, the tenant's uploads and videos have {held.stored_bytes:,}, and it may"
            f" store {limits.stored_bytes:,}."
        )
        advice = "Delete uploads or jobs, or wait for the end of their retention."
        raise _refusal(text, advice, "Send a smaller file.", hopeless=size_bytes > limits.stored_bytes)


def _refusal(text: str, advice: str, smaller: str, *, hopeless: bool) -> QuotaExceededError:
    """Return the error; a request that would exceed the quota alone must not be repeated."""
    error = QuotaExceededError(f"{text} {smaller if hopeless else advice}")
    error.retryable = not hopeless
    return error
