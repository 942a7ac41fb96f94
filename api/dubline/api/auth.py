"""Authentication: the tenant and the key of the Authorization header."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dubline.api.services import ServicesDep
from dubline.orchestration.database.store.keys import Caller
from dubline.orchestration.domain.errors import UnauthorizedError

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    description="`Authorization: Bearer KEY`; an operator creates keys with `create-key`.",
)


def _caller(
    request: Request,
    services: ServicesDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    caller = services.store.keys.authenticate(credentials.credentials) if credentials else None
    if caller is None:
        raise UnauthorizedError
    # For the access log, which runs in another thread and so cannot read a context variable of this one.
    request.state.tenant = caller.tenant
    return caller


def _tenant(caller: Annotated[Caller, Depends(_caller)]) -> str:
    return caller.tenant


def _actor(caller: Annotated[Caller, Depends(_caller)]) -> str:
    return caller.actor


Tenant = Annotated[str, Depends(_tenant)]
Actor = Annotated[str, Depends(_actor)]
"""The key that a request was authenticated with, as written in audit entries; not the secret itself."""
