"""The gate: what a request passes before its body is read.

It authenticates every request below `/v1/` by its headers alone, so that a request without a valid key costs no memory
and no parsing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.api.auth import Authenticator
from dubline.api.problems import problem_of
from dubline.orchestration.domain.errors import DublineError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from dubline.api.services import Services

#: Below this path every request needs a key, also for paths without a route.
KEYED_PATH: Final = "/v1/"


class Gate:
    """ASGI middleware that responds to a request without a valid key before its body is received."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._authenticate = Authenticator(services.store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; other protocols and paths are passed through."""
        if scope["type"] != "http" or not scope["path"].startswith(KEYED_PATH):
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._authenticate(scope)
        except DublineError as error:
            await problem_of(error)(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["caller"] = caller
        state["tenant"] = caller.tenant  # for the access log
        await self._app(scope, receive, send)
