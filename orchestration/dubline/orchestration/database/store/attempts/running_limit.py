"""The limit on the jobs of a tenant that run at once. A claim passes over a tenant that has reached it.

Claims of one moment do not see each other, so together they may exceed the limit. Each of them counts again, one after
the other, and returns its job if there are too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.attempts import fenced_statements
from dubline.orchestration.database.store.transaction import transaction

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

#: Query of the tenants whose jobs are passed over.
AT_LIMIT: Final = """
SELECT name AS tenant FROM tenants WHERE running_jobs IS NOT NULL AND running_jobs <= (
    SELECT count(*) FROM jobs WHERE jobs.tenant = tenants.name AND jobs.state = 'running'
)
"""
_LOCK: Final = text("SELECT running_jobs FROM tenants WHERE name = :tenant FOR NO KEY UPDATE")
_COUNT: Final = text("SELECT count(*) FROM jobs WHERE tenant = :tenant AND state = 'running'")


def release_excess(engine: Engine, tenant: str, token: UUID) -> bool:
    """Release a job that was just claimed if more jobs of its tenant run than may; return whether it was released."""
    with transaction(engine) as session:
        limit = session.scalar(_LOCK, {"tenant": tenant})
        # A statement of its own: it sees what was committed while the lock was awaited.
        if limit is None or (session.scalar(_COUNT, {"tenant": tenant}) or 0) <= limit:
            return False
        session.connection().exec_driver_sql(fenced_statements.RELEASE, {"token": token, "gpu_s": 0.0})
        return True
