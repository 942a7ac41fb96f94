from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from dubline.api.app import create_app
from dubline.api.request_ids import RequestIds
from dubline.api.services import Services
from dubline.orchestration.database.store.accounts.keys import Caller
from dubline.orchestration.settings import LimitSettings

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


class Keys:
    def authenticate(self, _: str) -> Caller:
        return Caller(tenant="acme", actor="key:1")


class Store:
    keys = Keys()


def counted(code: str) -> float:
    labels = {"method": "POST", "route": "/v1/batches", "code": code}
    return REGISTRY.get_sample_value("dubline_http_request_duration_seconds_count", labels) or 0.0


def test_a_body_that_its_client_breaks_off_is_no_internal_error() -> None:
    to_receive: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return to_receive.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    app = create_app(Services(store=Store(), objects=None, limits=LimitSettings()))  # type: ignore[arg-type]
    headers = [(b"authorization", b"Bearer key"), (b"content-type", b"application/json")]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/batches", "query_string": b""}
    before = counted("aborted"), counted("500")
    with capture_logs() as logs:
        anyio.run(app, scope | {"headers": headers}, receive, send)
    assert (counted("aborted"), counted("500")) == (before[0] + 1, before[1])
    assert [entry["event"] for entry in logs] == ["request_answered"]
    assert sent == []


@pytest.mark.parametrize(("begun", "statuses"), [(False, [500]), (True, [200])])
def test_a_crash_is_answered_unless_a_response_has_begun(statuses: list[int], *, begun: bool) -> None:
    sent: list[Message] = []

    async def crash(_scope: Scope, _receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/v1/jobs", "headers": []}
    anyio.run(RequestIds(crash), scope, receive, send)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert [message["status"] for message in starts] == statuses
