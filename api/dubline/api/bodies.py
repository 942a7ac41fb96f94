"""Bodies of requests: read up to a limit, parsed and validated in a thread, with at most 100 faults reported."""

from __future__ import annotations

from collections import Counter
from email.message import Message
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
from anyio import CapacityLimiter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from dubline.api.documents import DocumentError
from dubline.api.schemas.fields import RequestModel
from dubline.orchestration.domain.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.responses import Response
    from starlette.types import Receive, Scope

    from dubline.orchestration.settings import LimitSettings

#: Largest body of a request that has no rows.
SMALL_BODY_BYTES: Final = 65_536
#: Bodies that are parsed at once; others wait.
PARSERS: Final = 2
#: Bodies with rows that a tenant may send at once; each may hold 10 MB of memory.
LARGE_BODIES: Final = 4
#: Time in which a body must arrive.
BODY_S: Final = 60

_reading: Final[Counter[tuple[str, bool]]] = Counter()
_parsers = CapacityLimiter(PARSERS)


class BodyRoute(APIRoute):
    """A route that validates its JSON body outside the event loop, with a cost bounded by what is accepted.

    FastAPI gets the validated model in place of the parsed body, and keeps describing it in OpenAPI.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, with the reading of the body in front."""
        handle = super().get_route_handler()
        model = _model(self)
        if model is None:
            return handle

        async def read_and_handle(request: Request) -> Response:
            limits: LimitSettings = request.app.state.services.limits
            parsed = await _read(request, model, limits) if _is_json(request) else None
            return await handle(_Parsed(request.scope, request.receive, parsed))

        return read_and_handle


class _Parsed(Request):
    """A request whose body is read, and validated if it is JSON."""

    def __init__(self, scope: Scope, receive: Receive, parsed: RequestModel | None) -> None:
        super().__init__(scope, receive)
        self._parsed = parsed

    async def body(self) -> bytes:
        """Return any bytes, since FastAPI only checks that there are some."""
        return b"-"

    async def json(self) -> RequestModel | None:
        """Return the validated body."""
        return self._parsed


def _model(route: APIRoute) -> type[RequestModel] | None:
    annotation = route.body_field.field_info.annotation if route.body_field else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, RequestModel) else None


def _is_json(request: Request) -> bool:
    header = Message()
    header["content-type"] = request.headers.get("content-type", "application/octet-stream")
    subtype = header.get_content_subtype()
    return header.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


async def _read(request: Request, model: type[RequestModel], limits: LimitSettings) -> RequestModel | None:
    """Read and validate a body; None if it is empty, which FastAPI reports."""
    limit_bytes = limits.body_bytes if model.has_rows else SMALL_BODY_BYTES
    sender = (request.state.tenant, model.has_rows)
    if model.has_rows and _reading[sender] >= LARGE_BODIES:
        raise BusyError
    _reading[sender] += 1
    try:
        with anyio.fail_after(BODY_S):
            body = await _received(request, limit_bytes)
    except TimeoutError:
        raise HTTPException(408, "The body did not arrive in time.", {"Connection": "close"}) from None
    finally:
        _reading[sender] -= 1
        if not _reading[sender]:
            del _reading[sender]
    if not body:
        return None
    return await anyio.to_thread.run_sync(_parse, model, body, limits, limiter=_parsers)


async def _received(request: Request, limit_bytes: int) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise HTTPException(413, f"The body of this request may have at most {limit_bytes:,} bytes.")
    return body


def _parse(model: type[RequestModel], body: bytearray, limits: LimitSettings) -> RequestModel:
    try:
        text = body.decode("utf-8-sig")
        body.clear()
        return model.parse(text, limits)
    except UnicodeDecodeError as error:
        fault = DocumentError("json_invalid", "it is not UTF-8", error.start)
    except DocumentError as error:
        fault = error
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None
    location = ("body", fault.position)
    raise RequestValidationError(
        [{"type": fault.kind, "loc": location, "msg": fault.reason, "ctx": {"error": fault.reason}}]
    )
