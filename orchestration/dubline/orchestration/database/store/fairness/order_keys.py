"""Order keys of new work, and refunds of work that ended before it was claimed (see `domain.fairness`).

The order keys of a tenant's waiting jobs are contiguous: each is the end of the job before. So the key of a job that
ends unclaimed is where the next waiting job of its tenant moves to. Ending a job only records this key, because moving
all later jobs at each of many single cancellations would take too long. They are moved before the tenant's next job is
inserted, and by the maintenance process, `MOVED_AT_ONCE` jobs at a time.

A row of `tenants` is locked after jobs, batches and uploads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from dubline.orchestration.domain.cost import PROBE_BYTES_PER_S, PROBE_START_S
from dubline.orchestration.domain.fairness import Queue, order_keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

#: Number of jobs that one transaction moves: claims skip them meanwhile.
MOVED_AT_ONCE: Final = 1000
#: Cost of a row of `jobs`, also if a version without costs inserted it.
COST: Final = "coalesce(cost_s, speech_s)"
#: Queue -> column of `tenants` with the tenant's virtual time.
_VIRTUAL_TIME: Final = {Queue.RENDER: "virtual_time_s", Queue.PROBE: "probe_time_s"}

_READ: Final = {
    queue: text(f"""
SELECT {column} AS tenant_s, refund_from_s,
    coalesce((SELECT at_s FROM queue_clocks WHERE queue = '{queue}'), 0) AS queue_s
FROM tenants WHERE name = :tenant FOR NO KEY UPDATE OF tenants
""")  # noqa: S608 - our own text
    for queue, column in _VIRTUAL_TIME.items()
}
_ADVANCE: Final = {
    queue: text(f"UPDATE tenants SET {column} = :tenant_s WHERE name = :tenant")  # noqa: S608 - our own text
    for queue, column in _VIRTUAL_TIME.items()
}
_RECORD_ENDED: Final = text("""
UPDATE tenants SET refund_from_s = least(refund_from_s, ended.from_s) FROM (
    SELECT tenant, min(order_key) AS from_s FROM jobs
    WHERE id = ANY(:ids) AND attempt_count = 0 AND finalized_at IS NULL GROUP BY tenant
) AS ended
WHERE tenants.name = ended.tenant
""")
_LOCK_REFUND: Final = text("""
SELECT refund_from_s FROM tenants WHERE name = :tenant AND refund_from_s IS NOT NULL FOR NO KEY UPDATE SKIP LOCKED
""")
_SELECT_REFUNDED: Final = text("SELECT name FROM tenants WHERE refund_from_s IS NOT NULL ORDER BY name")
#: A job whose row another transaction has locked is being claimed or ended, and keeps its key.
_MOVE: Final = text(f"""
WITH start AS (
    SELECT greatest(
        CAST(:from_s AS float8), (SELECT at_s FROM queue_clocks WHERE queue = '{Queue.RENDER}'),
        (SELECT max(order_key + {COST}) FROM jobs WHERE state = 'running' AND tenant = :tenant)
    ) AS at_s
), later AS (
    SELECT id, order_key, {COST} AS cost_s FROM jobs
    WHERE tenant = :tenant AND state = 'queued' AND attempt_count = 0 AND order_key >= :from_s
    ORDER BY order_key LIMIT {MOVED_AT_ONCE} FOR UPDATE SKIP LOCKED
), placed AS (
    SELECT id, cost_s, at_s + sum(cost_s) OVER (ORDER BY order_key, id) - cost_s AS key_s FROM later, start
), moved AS (
    UPDATE jobs SET order_key = key_s FROM placed WHERE jobs.id = placed.id AND key_s < order_key
)
SELECT count(*) AS jobs, greatest(max(key_s + cost_s), (SELECT at_s FROM start)) AS end_s FROM placed
""")  # noqa: S608 - our own text
_SET_MOVED: Final = text(f"""
UPDATE tenants SET
    refund_from_s = CASE WHEN :count = {MOVED_AT_ONCE} THEN CAST(:end_s AS float8) END,
    virtual_time_s = CASE WHEN :count = {MOVED_AT_ONCE} THEN virtual_time_s ELSE :end_s END
WHERE name = :tenant
""")  # noqa: S608 - our own text
_REFUND_PROBES: Final = text(f"""
UPDATE tenants SET probe_time_s = probe_time_s - ended.cost_s FROM (
    SELECT tenant, sum({PROBE_START_S} + size_bytes / {PROBE_BYTES_PER_S:.1f}) AS cost_s FROM uploads
    WHERE id = ANY(:ids) AND state = 'probing' AND probe_attempts = 0 GROUP BY tenant
) AS ended
WHERE tenants.name = ended.tenant
""")  # noqa: S608 - our own text


def assign(session: Session, tenant: str, queue: Queue, costs_s: Sequence[float]) -> list[float]:
    """Return the order keys of new work of a tenant, whose virtual time advances; its row stays locked.

    Args:
        session: the transaction that inserts the work.
        tenant: owner of the work.
        queue: where it waits.
        costs_s: predicted seconds of each job or upload, in the order of claims.
    """
    found: Any = session.execute(_READ[queue], {"tenant": tenant}).one()
    if queue is Queue.RENDER and found.refund_from_s is not None:
        _move(session, tenant, found.refund_from_s)
        found = session.execute(_READ[queue], {"tenant": tenant}).one()
    keys, tenant_s = order_keys(found.queue_s, found.tenant_s, costs_s)
    session.execute(_ADVANCE[queue], {"tenant": tenant, "tenant_s": tenant_s})
    return keys


def record_ended(session: Session, ids: Sequence[UUID]) -> None:
    """Record that jobs end, some of which were never claimed; the caller has locked them, and ends them next."""
    session.execute(_RECORD_ENDED, {"ids": list(ids)})


def refund_probes(session: Session, ids: Sequence[UUID]) -> None:
    """Take the cost of uploads that were never probed from their tenants; the caller deletes them."""
    session.execute(_REFUND_PROBES, {"ids": list(ids)})


def refunded_tenants(session: Session) -> list[str]:
    """Return the tenants with jobs to move."""
    return list(session.scalars(_SELECT_REFUNDED))


def refund(session: Session, tenant: str) -> int:
    """Move waiting jobs of a tenant forward, to where jobs ended unclaimed; return how many were looked at."""
    from_s = session.scalar(_LOCK_REFUND, {"tenant": tenant})
    return 0 if from_s is None else _move(session, tenant, from_s)


def _move(session: Session, tenant: str, from_s: float) -> int:
    moved = session.execute(_MOVE, {"tenant": tenant, "from_s": from_s}).one()
    session.execute(_SET_MOVED, {"tenant": tenant, "count": moved.jobs, "end_s": moved.end_s})
    return int(moved.jobs)
