"""API keys: scopes, and what is shown of a key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime


class Scope(StrEnum):
    """What a key may be used for. Scopes do not contain each other."""

    SUBMIT = "submit"
    READ = "read"
    DELETE = "delete"
    ADMIN = "admin"
    SCALING = "scaling"
    """The work of all tenants together. Only an operator creates such keys."""


#: Scopes that a tenant gives to its own keys.
TENANT_SCOPES: Final = frozenset(Scope) - {Scope.SCALING}
#: Scopes of a key for which none are given.
DEFAULT_SCOPES: Final = frozenset({Scope.SUBMIT, Scope.READ, Scope.DELETE})
#: Longest life that can be given to a key.
LIFE_MAX_S: Final = 10 * 365 * 86_400
#: Time for which both keys of a rotation are valid, unless another is given.
OVERLAP_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it is listed; the secret cannot be read."""

    id: str
    """First 12 hexadecimal digits of the key's SHA-256; audit entries name the key `key:` and its id."""
    tenant: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """With a resolution of a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just created, with its secret, which is shown once."""

    secret: str
    key: ApiKey
