"""The gate: what a request passes before its body is read.

It authenticates every request below `/v1/` by its headers alone, so that a request without a valid key costs no memory
and no parsing. Then it counts the request against the rate of its tenant; a long poll counts once. Of one
tenant it lets in few requests at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import MutableHeaders

from dubline.api import rate_limit
from dubline.api.auth import Authenticator
from dubline.api.in_flight import InFlight
from dubline.api.problems import problem_of
from dubline.orchestration.domain.errors import BusyError, DublineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from dubline.api.services import Services

#: Below this path every request needs a key, also for paths without a route.
KEYED_PATH: Final = "/v1/"


class Gate:
    """ASGI middleware that responds to a request without a valid key before its body is received."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._authenticate = Authenticator(services.store)
        self._services = services
        self._in_flight = InFlight()

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
        limits = state["limits"] = self._services.limits.of_tenant(caller.limits)
        per_s = limits.requests_per_s or self._services.limits.requests_per_s
        counted = await self._services.rates.count(caller.tenant, per_s)
        send = _with_headers(send, rate_limit.headers(counted, per_s))
        if not counted.allowed:
            await problem_of(rate_limit.refusal(counted))(scope, receive, send)
            return
        try:
            async with self._in_flight.slot(caller.tenant) as state["slot"]:
                await self._app(scope, receive, send)
        except BusyError as error:
            await problem_of(error)(scope, receive, send)


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return add
