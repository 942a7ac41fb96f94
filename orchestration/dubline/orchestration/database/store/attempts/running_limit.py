"""The limit on the jobs of a tenant that run at once. A claim passes over a tenant that has reached it.

Claims of one moment do not see each other, so together they may exceed the limit. Each of them counts again, one after
the other, and returns its job if there are too many. Workers that render shares of the tenant's jobs count too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.attempts import fenced_statements
from dubline.orchestration.database.store.attempts.busy import shares_of
from dubline.orchestration.database.store.attempts.charges import WORKER
from dubline.orchestration.database.store.transaction import transaction

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

#: Query of the tenants whose jobs are passed over.
AT_LIMIT: Final = f"""
SELECT name AS tenant FROM tenants WHERE running_jobs IS NOT NULL AND running_jobs <= (
    SELECT count(*) FROM jobs WHERE jobs.tenant = tenants.name AND jobs.state = 'running'
) + {shares_of("tenants.name", WORKER)}
"""  # noqa: S608 - our own text
_LOCK: Final = text("SELECT running_jobs FROM tenants WHERE name = :tenant FOR NO KEY UPDATE")
_COUNT: Final = text(f"""
SELECT count(*) + {shares_of("CAST(:tenant AS text)", "CAST(:worker AS text)")}
FROM jobs WHERE tenant = :tenant AND state = 'running'
""")  # noqa: S608 - our own text


def release_excess(engine: Engine, tenant: str, token: UUID, worker: str) -> bool:
    """Release a job that was just claimed if more jobs of its tenant run than may; return whether it was released."""
    with transaction(engine) as session:
        values = {"tenant": tenant, "worker": worker}
        limit = session.scalar(_LOCK, values)
        # A statement of its own: it sees what was committed while the lock was awaited.
        if limit is None or (session.scalar(_COUNT, values) or 0) <= limit:
            return False
        session.connection().exec_driver_sql(fenced_statements.RELEASE, {"token": token, "gpu_s": 0.0})
        return True
