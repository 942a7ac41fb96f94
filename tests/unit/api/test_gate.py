from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

import dubline.api
from dubline.api import in_flight
from dubline.api.bodies import BodyRoute
from dubline.api.gate import Gate
from dubline.api.services import Services
from dubline.orchestration.database.store.accounts.keys import Caller
from dubline.orchestration.settings import LimitSettings

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


class Keys:
    def authenticate(self, key: str) -> Caller | None:
        return Caller(tenant="acme", actor="key:1") if key == "good" else None


class Store:
    keys = Keys()


class App:
    """Counts the messages of the bodies that it receives."""

    def __init__(self) -> None:
        self.received = 0
        self.tenant: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.tenant = scope["state"]["tenant"]
        await receive()
        self.received += 1
        await send({"type": "http.response.start", "status": 204, "headers": []})


def answered(app: App, path: str, *headers: tuple[bytes, bytes], services: Any = None) -> int:
    """Send a request whose body may be received by the app only; return the status of the response."""
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    services = services or Services(store=Store(), objects=None, limits=LimitSettings())  # type: ignore[arg-type]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}

    async def request() -> None:
        await Gate(app, services)(scope, receive, send)

    anyio.run(request)
    return statuses[0]


@pytest.mark.parametrize("value", [None, b"", b"Bearer", b"Bearer ", b"Basic good", b"Bearer bad", b"good"])
@pytest.mark.parametrize("path", ["/v1/batches", "/v1/no-such-route"])
def test_no_byte_of_a_body_without_a_valid_key_is_received(path: str, value: bytes | None) -> None:
    app = App()
    assert answered(app, path, *([] if value is None else [(b"authorization", value)])) == 401
    assert app.received == 0


@pytest.mark.parametrize("value", [b"Bearer good", b"bearer good"])
def test_a_body_with_a_valid_key_is_received(value: bytes) -> None:
    app = App()
    assert answered(app, "/v1/batches", (b"authorization", value)) == 204
    assert (app.received, app.tenant) == (1, "acme")


def test_no_byte_of_a_body_above_the_rate_is_received() -> None:
    app = App()
    limits = LimitSettings(requests_per_s=0.1)
    services: Any = Services(store=Store(), objects=None, limits=limits)  # type: ignore[arg-type]
    keyed = (b"authorization", b"Bearer good")
    assert [answered(app, "/v1/batches", keyed, services=services) for _ in range(3)] == [204, 429, 429]
    assert app.received == 1


def test_a_request_beside_too_many_of_its_tenant_is_answered_with_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "WAIT_S", 0.01)
    monkeypatch.setattr(in_flight, "WORKING", 0)
    app = App()
    assert answered(app, "/v1/batches", (b"authorization", b"Bearer good")) == 503
    assert app.received == 0


def test_every_route_with_a_body_limits_its_cost() -> None:
    names = [one.name for one in iter_modules(dubline.api.__path__) if not one.name.startswith("_")]
    routers = [getattr(import_module(f"dubline.api.{name}"), "router", None) for name in names]
    routes = [route for router in routers if isinstance(router, APIRouter) for route in router.routes]
    with_body = [route for route in routes if isinstance(route, APIRoute) and route.body_field is not None]
    assert {route.path for route in with_body} >= {"/v1/batches", "/v1/jobs", "/v1/keys", "/v1/uploads"}
    assert all(isinstance(route, BodyRoute) for route in with_body)
