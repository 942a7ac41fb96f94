"""Who is calling: the tenant behind the API key in the Authorization header, and which of its keys it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dubline.api.services import Wired
from dubline.orchestration.database.store.keys import Caller
from dubline.orchestration.domain.errors import UnauthorizedError

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    description="`Authorization: Bearer KEY`; an operator makes keys with `create-key`.",
)


def _caller(
    request: Request,
    services: Wired,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    caller = services.store.keys.authenticate(credentials.credentials) if credentials else None
    if caller is None:
        raise UnauthorizedError
    # For the access log; a context variable set in this thread would not be seen there.
    request.state.tenant = caller.tenant
    return caller


def _tenant(caller: Annotated[Caller, Depends(_caller)]) -> str:
    return caller.tenant


def _actor(caller: Annotated[Caller, Depends(_caller)]) -> str:
    return caller.actor


Tenant = Annotated[str, Depends(_tenant)]
Actor = Annotated[str, Depends(_actor)]
"""Who answers for a deletion, as audit entries say it: which key, never the key."""
