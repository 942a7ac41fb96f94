"""API keys of tenants."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from dubline.orchestration.database.store.accounts import audit, limits
from dubline.orchestration.database.store.transaction import OneStatement, transaction
from dubline.orchestration.domain.audit import OPERATOR_ACTOR, AuditAction, AuditSubject
from dubline.orchestration.domain.errors import ForbiddenError, InvalidRequestError, NotFoundError
from dubline.orchestration.domain.keys import DEFAULT_SCOPES, OVERLAP_S, ApiKey, NewKey, Scope
from dubline.orchestration.domain.quotas import TenantLimits

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

KEY_PREFIX: Final = "dubline_"
KEY_BYTES: Final = 32
ACTOR_DIGITS: Final = 12
_TENANT_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

#: The last use is written at most once a minute, and never waits for a lock. One round trip, no transaction.
_AUTHENTICATE: Final = f"""
WITH used AS (
    UPDATE api_keys SET last_used_at = now() WHERE sha256 = (
        SELECT sha256 FROM api_keys
        WHERE sha256 = %(sha256)s AND (last_used_at IS NULL OR last_used_at < now() - interval '60 s')
        FOR NO KEY UPDATE SKIP LOCKED
    )
)
SELECT sha256, tenant, scopes, extract(epoch FROM expires_at - now())::float8 AS life_s, {limits.COLUMNS}
FROM api_keys JOIN tenants ON tenants.name = api_keys.tenant
WHERE sha256 = %(sha256)s AND (expires_at IS NULL OR expires_at > now())
"""  # noqa: S608 - our own text
_COLUMNS: Final = "left(sha256, 12) AS id, tenant, scopes, created_at, expires_at, last_used_at"
_INSERT_TENANT: Final = text("INSERT INTO tenants (name) VALUES (:tenant) ON CONFLICT DO NOTHING RETURNING name")
_INSERT: Final = text(f"""
INSERT INTO api_keys (sha256, tenant, scopes, expires_at)
VALUES (:sha256, :tenant, :scopes, now() + make_interval(secs => :life_s)) RETURNING {_COLUMNS}
""")  # noqa: S608 - our own text
_SELECT: Final = text(f"SELECT {_COLUMNS} FROM api_keys WHERE tenant = :tenant ORDER BY created_at, sha256")  # noqa: S608 - our own text
_LOCK: Final = text(f"""
SELECT {_COLUMNS}, extract(epoch FROM expires_at - now())::float8 AS life_s
FROM api_keys WHERE tenant = :tenant AND left(sha256, 12) = :id FOR UPDATE
""")  # noqa: S608 - our own text
_DELETE: Final = text("DELETE FROM api_keys WHERE tenant = :tenant AND left(sha256, 12) = :id RETURNING sha256")
_SHORTEN: Final = text("""
UPDATE api_keys SET expires_at = LEAST(expires_at, now() + make_interval(secs => :overlap_s))
WHERE tenant = :tenant AND left(sha256, 12) = :id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The caller that an API key authenticates."""

    tenant: str
    actor: str
    """Name of the key in audit entries: `key:` and the first digits of its SHA-256."""
    scopes: frozenset[Scope] = DEFAULT_SCOPES
    life_s: float | None = None
    """Seconds until the key expires, from when it was looked up; None if it does not expire."""
    limits: TenantLimits = field(default_factory=TenantLimits)
    """The tenant's own limits."""


class Keys:
    """API keys of 256 random bits. Only their SHA-256 is stored. A revoked key is deleted; its audit entries remain."""

    def __init__(self, engine: Engine, reserved: Engine) -> None:
        """Create the operations.

        Args:
            engine: connections of all operations.
            reserved: connections of lookups.
        """
        self._engine = engine
        self._run = OneStatement(reserved)

    def create(self, tenant: str) -> str:
        """Create a key with the default scopes that does not expire, as `issue`; return its secret."""
        return self.issue(tenant).secret

    def issue(
        self,
        tenant: str,
        scopes: Collection[Scope] = DEFAULT_SCOPES,
        life_s: float | None = None,
        actor: str = OPERATOR_ACTOR,
    ) -> NewKey:
        """Create a key for a tenant, and the tenant if it is new. The secret cannot be read again.

        Args:
            tenant: 1 to 63 lower-case letters, digits, `-` and `_`, beginning with a letter or digit.
            scopes: at least one.
            life_s: seconds until the key expires; None: never.
            actor: for the audit entry.

        Raises:
            InvalidRequestError: the name is not valid, or there are no scopes.
        """
        if not _TENANT_NAME.fullmatch(tenant):
            raise InvalidRequestError(
                f"{tenant!r} is not a valid name of a tenant. Use 1 to 63 lower-case letters, digits, - and _, "
                "beginning with a letter or digit."
            )
        if not scopes:
            raise InvalidRequestError("A key needs at least one scope.")
        with transaction(self._engine) as session:
            if session.scalar(_INSERT_TENANT, {"tenant": tenant}) is not None:
                audit.record(session, tenant, actor, AuditAction.CREATE_TENANT, AuditSubject.TENANT, tenant)
            new = _insert(session, tenant, scopes, life_s)
            _record(session, actor, AuditAction.CREATE_KEY, new.key)
        return new

    def list(self, tenant: str) -> tuple[ApiKey, ...]:
        """Read the keys of a tenant, expired ones included, oldest first."""
        with transaction(self._engine) as session:
            return tuple(_key_of(row) for row in session.execute(_SELECT, {"tenant": tenant}))

    def revoke(self, tenant: str, key_id: str, actor: str = OPERATOR_ACTOR) -> UUID:
        """Revoke a key at once; processes that cache keys accept it for some seconds more.

        Returns:
            Id of the audit entry.

        Raises:
            NotFoundError: the tenant has no such key.
        """
        with transaction(self._engine) as session:
            key = _key_of(_lock(session, tenant, key_id))
            session.execute(_DELETE, {"tenant": tenant, "id": key.id})
            return _record(session, actor, AuditAction.REVOKE_KEY, key)

    def rotate(
        self,
        tenant: str,
        key_id: str,
        overlap_s: float = OVERLAP_S,
        actor: str = OPERATOR_ACTOR,
        may_give: Collection[Scope] = frozenset(Scope),
    ) -> NewKey:
        """Create a key with the scopes and the date of expiry of another one, which then expires.

        Args:
            tenant: owner of the key.
            key_id: the key to be replaced.
            overlap_s: seconds for which both keys are valid.
            actor: for the audit entry.
            may_give: scopes that the actor may give to keys.

        Raises:
            NotFoundError: the tenant has no such key.
            ForbiddenError: the key has a scope that the actor must not give.
        """
        with transaction(self._engine) as session:
            row = _lock(session, tenant, key_id)
            old = _key_of(row)
            if excess := sorted(old.scopes - frozenset(may_give)):
                raise ForbiddenError(
                    f"Only an operator gives the scope {excess[0].value!r}. Ask one to rotate the key."
                )
            new = _insert(session, tenant, old.scopes, row.life_s)
            session.execute(_SHORTEN, {"tenant": tenant, "id": old.id, "overlap_s": overlap_s})
            _record(session, actor, AuditAction.ROTATE_KEY, old, replaced_by=new.key.id)
        return new

    def authenticate(self, key: str) -> Caller | None:
        """Return the caller of a key; None if the key is unknown, revoked or expired."""
        sha256 = hash_of(key)
        rows = self._run(_AUTHENTICATE, sha256=sha256)
        # The index compares digits one after the other; this decision takes the same time for every key.
        if not rows or not hmac.compare_digest(rows[0].sha256, sha256):
            return None
        (row,) = rows
        scopes = frozenset(map(Scope, row.scopes))
        return Caller(
            tenant=row.tenant,
            actor=f"key:{sha256[:ACTOR_DIGITS]}",
            scopes=scopes,
            life_s=row.life_s,
            limits=limits.limits_of(row),
        )


def hash_of(key: str) -> str:
    """Return the SHA-256 under which a key is stored."""
    # The key is random, so a fast hash without salt is sufficient, and it allows lookup by index.
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _insert(session: Session, tenant: str, scopes: Collection[Scope], life_s: float | None) -> NewKey:
    secret = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    values = {
        "sha256": hash_of(secret),
        "tenant": tenant,
        "scopes": sorted(scope.value for scope in scopes),
        "life_s": life_s,
    }
    return NewKey(secret=secret, key=_key_of(session.execute(_INSERT, values).one()))


def _lock(session: Session, tenant: str, key_id: str) -> Any:
    row = session.execute(_LOCK, {"tenant": tenant, "id": key_id}).one_or_none()
    if row is None:
        raise NotFoundError(f"The tenant has no key {key_id}. The list of keys shows their ids.")
    return row


def _record(session: Session, actor: str, action: AuditAction, key: ApiKey, **more: str) -> UUID:
    expires_at: datetime | None = key.expires_at
    detail = {"scopes": sorted(key.scopes), "expires_at": expires_at and expires_at.isoformat(), **more}
    return audit.record(session, key.tenant, actor, action, AuditSubject.KEY, key.id, detail)


def _key_of(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=row.tenant,
        scopes=frozenset(map(Scope, row.scopes)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
