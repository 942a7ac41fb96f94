"""Who is calling: the tenant behind the API key in the Authorization header."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dubline.api.services import Wired
from dubline.orchestration.errors import UnauthorizedError

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    description="`Authorization: Bearer KEY`; an operator makes keys with `create-key`.",
)


def _tenant(
    request: Request,
    services: Wired,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    tenant = services.store.keys.tenant(credentials.credentials) if credentials else None
    if tenant is None:
        raise UnauthorizedError
    # For the access log; a context variable set in this thread would not be seen there.
    request.state.tenant = tenant
    return tenant


Tenant = Annotated[str, Depends(_tenant)]
