"""Keys of objects in the bucket. They are made of ids and hashes and contain no text chosen by a user."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uuid import UUID

#: First part of every key. Other objects in the bucket are never removed.
OWN_FOLDERS: Final = frozenset({"checkpoints", "results", "uploads"})
#: Key of a video: job id, attempt number, token. Valid for Python's `%` and for PostgreSQL's `format`.
RESULT: Final = "results/%s/%s-%s.mp4"
_ID: Final = "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_OF_ATTEMPT: Final = re.compile(rf"(?:results|checkpoints)/{_ID}/[0-9]+-{_ID}[./]")
_OF_UPLOAD: Final = re.compile(rf"uploads/[0-9a-f]+/{_ID}")


def result_key(job_id: UUID, attempt: int, token: UUID) -> str:
    """Return the key of the video of one attempt; no other attempt writes to it."""
    return RESULT % (job_id, attempt, token)


def checkpoint_prefix(job_id: UUID, attempt: int, token: UUID) -> str:
    """Return the prefix of the checkpoints of one attempt."""
    return f"checkpoints/{job_id}/{attempt}-{token}/"


def weights_key(preset: str, sha256: str, name: str) -> str:
    """Return the key of a file of weights. Weights are not removed by the sweep."""
    return f"weights/{preset}/{sha256}/{name}"


def upload_key(tenant: str, upload_id: UUID) -> str:
    """Return the key of an upload; it contains a hash of the tenant's name."""
    return f"{tenant_prefix(tenant)}{upload_id}"


def tenant_prefix(tenant: str) -> str:
    """Return the prefix of the uploads of a tenant."""
    return f"uploads/{hashlib.sha256(tenant.encode()).hexdigest()[:16]}/"


def attempt_of(key: str) -> tuple[str, str] | None:
    """Read the job id and the token in the key of a video or a checkpoint; None for any other key."""
    found = _OF_ATTEMPT.match(key)
    return None if found is None else (found[1], found[2])


def upload_of(key: str) -> str | None:
    """Read the upload id in the key of an upload; None for any other key."""
    found = _OF_UPLOAD.fullmatch(key)
    return None if found is None else found[1]
