"""What workers are doing, in SQL: the jobs that they hold and the shares of jobs that they render."""

from __future__ import annotations

from typing import Final

from dubline.orchestration.database.store.attempts.charges import worker_of

#: SQL condition on the rows of `shares` whose worker renders.
OPEN_SHARE: Final = "shares.ended_at IS NULL AND shares.lease_expires_at > now()"
#: Query of the tenant and the worker of each job and share. A share counts as its tenant's running work.
BUSY: Final = f"""
SELECT tenant, {worker_of("lease_worker")} AS worker FROM jobs WHERE state = 'running'
UNION ALL
SELECT jobs.tenant, {worker_of("shares.worker")} FROM shares JOIN jobs ON jobs.id = shares.job_id
WHERE {OPEN_SHARE} AND jobs.finalized_at IS NULL
"""  # noqa: S608 - our own text


def shares_of(tenant: str, worker: str) -> str:
    """Return the SQL expression of how many workers but one render shares of a tenant's jobs.

    Args:
        tenant: SQL expression of its name.
        worker: SQL expression of the worker that is left out: it ends its share before it runs a job.
    """
    return (
        f"(SELECT count(*) FROM shares JOIN jobs AS shared ON shared.id = shares.job_id"  # noqa: S608 - our own text
        f" WHERE {OPEN_SHARE} AND shared.finalized_at IS NULL AND shared.tenant = {tenant}"
        f" AND {worker_of('shares.worker')} <> {worker})"
    )
