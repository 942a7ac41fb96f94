"""Calls of verifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.client.calls.responses import Response

if TYPE_CHECKING:
    from dubline.client.calls.transport import Transport


class VerifiedJob(Response):
    """The job that rendered a file; times are in ISO 8601."""

    id: str
    custom_id: str | None = None
    created_at: str
    finalized_at: str | None = None


class Verification(Response):
    """What the server knows about a file; the verdict is unaltered, altered or unknown."""

    verdict: str
    job: VerifiedJob | None = None


class Verifications:
    """Calls of verifications."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def verify(self, sha256: str, job_id: str | None) -> Verification:
        """Ask whether a file is a result of the caller's tenant.

        Args:
            sha256: of the file.
            job_id: the job that the file names; None: none.

        Raises:
            ClientError: the server did not respond.
        """
        body = {"sha256": sha256, "job_id": job_id}
        return self._transport.call("POST /v1/verifications", Verification, body=body)
