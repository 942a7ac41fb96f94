"""Authentication: the tenant and the key of the Authorization header.

The gate calls the authenticator before it lets a body in; routes only read its result.
"""

from __future__ import annotations

from typing import Annotated, Final

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import Scope

from dubline.api import scopes
from dubline.api.bad_keys import BadKeys
from dubline.api.key_cache import KeyCache
from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.accounts.keys import Caller, hash_of
from dubline.orchestration.domain.errors import BusyError, ForbiddenError, TooManyBadKeysError, UnauthorizedError
from dubline.orchestration.domain.quotas import TenantLimits

#: Keys that are looked up in the database at once; each one holds a connection.
LOOKUPS: Final = 4
#: Requests that may wait for a lookup of their key. More are refused with 503.
LOOKUPS_WAITING: Final = 200

# Only describes the header in OpenAPI.
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    description="`Authorization: Bearer KEY`; an operator creates the first key of a tenant.",
)


class Authenticator:
    """Finds the caller of a request by its headers, with a bounded number of lookups at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._limiter = CapacityLimiter(LOOKUPS)
        self._cache = KeyCache()
        self._bad_keys = BadKeys()

    async def __call__(self, scope: Scope) -> Caller:
        """Return the caller.

        Raises:
            UnauthorizedError: the key is missing, unknown, revoked or expired.
            ForbiddenError: the key lacks the scope that the request needs.
            TooManyBadKeysError: too many unknown keys came from the client's address.
            BusyError: too many requests wait for the lookup of their keys.
            DatabaseUnavailableError: the key cannot be looked up.
        """
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise UnauthorizedError
        caller = await self._find(key.strip(), _address(scope))
        scope_needed = scopes.needed(scope["method"], scope["path"])
        if scope_needed not in caller.scopes:
            raise ForbiddenError(f"The API key lacks the scope {scope_needed.value!r}. Use a key that has it.")
        return caller

    async def _find(self, key: str, address: str) -> Caller:
        sha256 = hash_of(key)
        cached = self._cache.get(sha256)
        if cached is not None:
            return cached
        # A key that was valid before is looked up in any case: its owner may share the address with a guesser.
        if self._bad_keys.blocks(address) and not self._cache.knows(sha256):
            raise TooManyBadKeysError
        if self._limiter.statistics().tasks_waiting >= LOOKUPS_WAITING:
            raise BusyError
        caller = await anyio.to_thread.run_sync(self._store.keys.authenticate, key, limiter=self._limiter)
        self._cache.put(sha256, caller)
        if caller is None:
            self._bad_keys.count(address)
            raise UnauthorizedError
        return caller


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _caller(request: Request, _: Annotated[object, Depends(_bearer)]) -> Caller:
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller):
        raise UnauthorizedError
    return caller


def _tenant(caller: Annotated[Caller, Depends(_caller)]) -> str:
    return caller.tenant


def _actor(caller: Annotated[Caller, Depends(_caller)]) -> str:
    return caller.actor


def _limits(request: Request, _: Annotated[Caller, Depends(_caller)]) -> TenantLimits:
    limits = request.state.limits
    assert isinstance(limits, TenantLimits)  # noqa: S101  # set by the gate
    return limits


Authenticated = Annotated[Caller, Depends(_caller)]
"""The caller: tenant, actor and scopes."""
Tenant = Annotated[str, Depends(_tenant)]
Actor = Annotated[str, Depends(_actor)]
"""The key that a request was authenticated with, as written in audit entries; not the secret itself."""
Limits = Annotated[TenantLimits, Depends(_limits)]
"""The limits of the caller's tenant."""
