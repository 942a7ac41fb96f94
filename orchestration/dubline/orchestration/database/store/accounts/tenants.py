"""Retention periods and limits of tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.accounts import audit, holdings, limits
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.audit import OPERATOR_ACTOR, AuditAction, AuditSubject
from dubline.orchestration.domain.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine, TextClause

    from dubline.orchestration.domain.batches import Retention
    from dubline.orchestration.domain.quotas import Holdings, TenantLimits

#: Rows that are updated in one transaction.
PAGE: Final = 10_000

#: Waits for transactions that have computed dates with the former periods.
_LOCK_PERIODS: Final = text("SELECT name FROM tenants WHERE name = :tenant FOR UPDATE")
_SET_RETENTION: Final = text("UPDATE tenants SET inputs_s = :inputs_s, results_s = :results_s WHERE name = :tenant")
#: A review before the end of an upload's life moves to that end, so a longer period changes no upload here.
_REVIEW_UPLOADS_EARLIER: Final = text("""
WITH other AS (
    SELECT uploads.id, uploads.created_at + make_interval(secs => tenants.inputs_s) AS due
    FROM uploads JOIN tenants ON tenants.name = uploads.tenant
    WHERE uploads.tenant = :tenant
    AND coalesce(uploads.review_at, 'infinity') > uploads.created_at + make_interval(secs => tenants.inputs_s)
    LIMIT :page
)
UPDATE uploads SET review_at = other.due FROM other WHERE uploads.id = other.id RETURNING uploads.id
""")
_UPDATE_RESULTS_EXPIRY: Final = text("""
WITH other AS (
    SELECT id, due FROM (
        SELECT jobs.id, jobs.results_expire_at,
            jobs.finalized_at + make_interval(secs => LEAST(tenants.results_s, batches.results_s)) AS due
        FROM jobs JOIN tenants ON tenants.name = jobs.tenant LEFT JOIN batches ON batches.id = jobs.batch_id
        WHERE jobs.tenant = :tenant AND jobs.state = 'succeeded' AND jobs.result_deleted_at IS NULL
    ) AS dated
    WHERE results_expire_at IS DISTINCT FROM due
    LIMIT :page
)
UPDATE jobs SET results_expire_at = other.due FROM other WHERE jobs.id = other.id RETURNING jobs.id
""")


class Tenants:
    """Settings of tenants."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def set_retention(self, tenant: str, retention: Retention, actor: str = OPERATOR_ACTOR) -> None:
        """Set the retention periods of a tenant, also for its existing files.

        It takes several transactions if there are many files. An interrupted call is completed by calling it again.

        Raises:
            NotFoundError: there is no such tenant.
        """
        values = {"tenant": tenant, "inputs_s": retention.inputs_s, "results_s": retention.results_s}
        with transaction(self._engine) as session:
            if session.scalar(_LOCK_PERIODS, {"tenant": tenant}) is None:
                raise NotFoundError(f"There is no tenant {tenant!r}.")
            session.execute(_SET_RETENTION, values)
            detail = {"inputs_s": retention.inputs_s, "results_s": retention.results_s}
            audit.record(session, tenant, actor, AuditAction.SET_RETENTION, AuditSubject.TENANT, tenant, detail)
        for statement in (_REVIEW_UPLOADS_EARLIER, _UPDATE_RESULTS_EXPIRY):
            while self._update_page(statement, tenant) == PAGE:
                pass

    def limits(self, tenant: str) -> TenantLimits:
        """Read the limits that were set for a tenant.

        Raises:
            NotFoundError: there is no such tenant.
        """
        with transaction(self._engine) as session:
            return limits.read(session, tenant)

    def set_limits(self, tenant: str, values: Mapping[str, float | None], actor: str = OPERATOR_ACTOR) -> TenantLimits:
        """Set some limits of a tenant. Servers use them within seconds.

        Args:
            tenant: the tenant.
            values: new values by the names of the fields of TenantLimits; None: the server's default.
            actor: for the audit entry.

        Raises:
            NotFoundError: there is no such tenant.
        """
        with transaction(self._engine) as session:
            changed = limits.change(session, tenant, values)
            detail = dict(sorted(values.items()))
            audit.record(session, tenant, actor, AuditAction.SET_LIMITS, AuditSubject.TENANT, tenant, detail)
            return changed

    def holdings(self, tenant: str) -> Holdings:
        """Read what a tenant has queued and stored."""
        with transaction(self._engine) as session:
            return holdings.read(session, tenant)

    def _update_page(self, statement: TextClause, tenant: str) -> int:
        with transaction(self._engine) as session:
            return len(session.execute(statement, {"tenant": tenant, "page": PAGE}).all())
