"""Ends that no worker reports: jobs cancelled, past their deadline, or given up with their worker.

The caller locks the jobs in a statement before: what a worker commits while we wait for a lock is seen only by
the statements after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.pending_deletion import doom_checkpoints
from dubline.orchestration.domain.jobs import Cause, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

UNLEASED: Final = "stage = NULL, lease_token = NULL, lease_expires_at = NULL, lease_worker = NULL"

_CANCEL: Final = text(f"UPDATE jobs SET state = 'cancelled', finalized_at = now(), {UNLEASED} WHERE id = ANY(:ids)")  # noqa: S608
_FAIL: Final = text(
    "UPDATE jobs SET state = 'failed', finalized_at = now(), error_code = :code, error_detail = :detail,"  # noqa: S608
    f" {UNLEASED} WHERE id = ANY(:ids)"
)
_END: Final = text("""
UPDATE attempts
SET ended_at = now(), outcome = :outcome, cause = :cause, error_code = :code, error_detail = :detail
WHERE job_id = ANY(:ids) AND ended_at IS NULL
""")


def cancel(session: Session, ids: Sequence[UUID]) -> None:
    """Cancel jobs that are not final, and forget their checkpoints."""
    session.execute(_CANCEL, {"ids": list(ids)})
    end_attempts(session, ids, Outcome.CANCELLED, Cause.CANCELLED)
    doom_checkpoints(session, ids)


def fail(session: Session, ids: Sequence[UUID], code: str, detail: str) -> None:
    """Fail jobs that are not final, and forget their checkpoints."""
    session.execute(_FAIL, {"ids": list(ids), "code": code, "detail": detail})
    doom_checkpoints(session, ids)


def end_attempts(  # noqa: PLR0913, PLR0917 - the columns of an ended attempt
    session: Session,
    ids: Sequence[UUID],
    outcome: Outcome,
    cause: Cause,
    code: str | None = None,
    detail: str | None = None,
) -> None:
    """End the open attempts at jobs."""
    session.execute(
        _END, {"ids": list(ids), "outcome": outcome.value, "cause": cause.value, "code": code, "detail": detail}
    )
