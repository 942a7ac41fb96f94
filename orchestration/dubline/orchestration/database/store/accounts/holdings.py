"""What a tenant holds, read in the transaction that adds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.domain.quotas import Holdings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Changes of a tenant from which they are replaced by their sum.
SUM_FROM: Final = 64

# FOR NO KEY UPDATE does not conflict with the foreign key checks of concurrent inserts.
_LOCK: Final = text("SELECT FROM tenants WHERE name = :tenant FOR NO KEY UPDATE")
_READ: Final = text("""
SELECT count(*) AS changes, coalesce(sum(jobs), 0) AS jobs, coalesce(sum(speech_ms), 0) AS speech_ms,
    coalesce(sum(stored_bytes), 0) AS stored_bytes
FROM holdings WHERE tenant = :tenant
""")
_SUM: Final = text("""
WITH summed AS (DELETE FROM holdings WHERE tenant = :tenant RETURNING *)
INSERT INTO holdings (tenant, jobs, speech_ms, stored_bytes)
SELECT tenant, sum(jobs), sum(speech_ms), sum(stored_bytes) FROM summed GROUP BY tenant
""")


def lock(session: Session, tenant: str) -> Holdings:
    """Read what a tenant holds, and let no other transaction add to it until this one ends.

    Other transactions may release some of it meanwhile. Other tenants are not affected.
    """
    session.execute(_LOCK, {"tenant": tenant})
    # A statement of its own: it sees what was committed while the lock was awaited.
    row = session.execute(_READ, {"tenant": tenant}).one()
    if row.changes >= SUM_FROM:
        session.execute(_SUM, {"tenant": tenant})
    return Holdings(jobs=int(row.jobs), speech_s=float(row.speech_ms) / 1000, stored_bytes=int(row.stored_bytes))


def read(session: Session, tenant: str) -> Holdings:
    """Read what a tenant holds."""
    row = session.execute(_READ, {"tenant": tenant}).one()
    return Holdings(jobs=int(row.jobs), speech_s=float(row.speech_ms) / 1000, stored_bytes=int(row.stored_bytes))
