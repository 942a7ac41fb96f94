"""Tenants and their API keys."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from dubline.orchestration.database.rows import ApiKeyRow, TenantRow
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.errors import InvalidRequestError

if TYPE_CHECKING:
    from sqlalchemy import Engine

KEY_PREFIX: Final = "dubline_"
KEY_BYTES: Final = 32
ACTOR_DIGITS: Final = 12
_TENANT_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who an API key speaks for."""

    tenant: str
    actor: str
    """Which key it is, for the audit: `key:` and the first digits of its SHA-256."""


class Keys:
    """API keys: 256 random bits each, of which only the SHA-256 is kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, tenant: str) -> str:
        """Make a key for a tenant, and the tenant where it is new. The key cannot be read again.

        Args:
            tenant: lower-case letters, digits, `-` and `_`, at most 63, beginning with a letter or digit.

        Raises:
            InvalidRequestError: the name is not of that form.
        """
        if not _TENANT_NAME.fullmatch(tenant):
            raise InvalidRequestError(
                f"{tenant!r} cannot name a tenant. Use 1 to 63 lower-case letters, digits, - and _, "
                "beginning with a letter or digit."
            )
        key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
        with transaction(self._engine) as session:
            session.execute(insert(TenantRow).values(name=tenant).on_conflict_do_nothing())
            session.execute(insert(ApiKeyRow).values(sha256=_sha256(key), tenant=tenant))
        return key

    def authenticate(self, key: str) -> Caller | None:
        """Say whose key this is; None for one that was never made."""
        sha256 = _sha256(key)
        with transaction(self._engine) as session:
            tenant = session.scalar(select(ApiKeyRow.tenant).where(ApiKeyRow.sha256 == sha256))
        return None if tenant is None else Caller(tenant=tenant, actor=f"key:{sha256[:ACTOR_DIGITS]}")


def _sha256(key: str) -> str:
    # The key is random, so a fast hash without salt is enough, and it can be looked up.
    return hashlib.sha256(key.encode()).hexdigest()
