"""API keys of tenants."""

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
    """The caller that an API key authenticates."""

    tenant: str
    actor: str
    """Name of the key in audit entries: `key:` and the first digits of its SHA-256."""


class Keys:
    """API keys of 256 random bits. Only their SHA-256 is stored."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, tenant: str) -> str:
        """Create a key for a tenant, and the tenant if it is new. The key cannot be read again.

        Args:
            tenant: 1 to 63 lower-case letters, digits, `-` and `_`, beginning with a letter or digit.

        Raises:
            InvalidRequestError: the name is not valid.
        """
        if not _TENANT_NAME.fullmatch(tenant):
            raise InvalidRequestError(
                f"{tenant!r} is not a valid name of a tenant. Use 1 to 63 lower-case letters, digits, - and _, "
                "beginning with a letter or digit."
            )
        key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
        with transaction(self._engine) as session:
            session.execute(insert(TenantRow).values(name=tenant).on_conflict_do_nothing())
            session.execute(insert(ApiKeyRow).values(sha256=_sha256(key), tenant=tenant))
        return key

    def authenticate(self, key: str) -> Caller | None:
        """Return the caller of a key; None if the key is unknown."""
        sha256 = _sha256(key)
        with transaction(self._engine) as session:
            tenant = session.scalar(select(ApiKeyRow.tenant).where(ApiKeyRow.sha256 == sha256))
        return None if tenant is None else Caller(tenant=tenant, actor=f"key:{sha256[:ACTOR_DIGITS]}")


def _sha256(key: str) -> str:
    # The key is random, so a fast hash without salt is sufficient, and it allows lookup by index.
    return hashlib.sha256(key.encode()).hexdigest()
