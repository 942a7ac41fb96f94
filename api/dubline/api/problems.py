"""Error responses: every error is returned as application/problem+json (RFC 9457) with a stable code.

Routes raise exceptions, and the handlers here translate them. Of an exception, only the `detail` of a DublineError is
returned to the caller.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from dubline.api.schemas.problems import Problem, ProblemItem
from dubline.options.refusals import sentence_of
from dubline.orchestration.domain.errors import DublineError, InvalidBatchError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

MEDIA_TYPE: Final = "application/problem+json"
#: Most items in `errors`. The rows of a batch are not validated any further once there are so many faults.
ITEMS_SHOWN: Final = 100

_log = structlog.get_logger(__name__)
_HTTP_CODES: Final = {
    400: "invalid_request",
    404: "no_such_path",
    405: "method_not_allowed",
    408: "body_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
}
_HTTP_DETAILS: Final = {
    400: "The body could not be parsed. Send one JSON object in UTF-8.",
    404: "There is no route with this path. The routes are listed in /openapi.json.",
    405: "This path does not support this method; the Allow header lists the supported ones.",
}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[ProblemItem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Create a problem response with at most `ITEMS_SHOWN` of `errors`."""
    body = Problem(
        type=f"urn:dubline:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        code=code,
        detail=detail,
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
        errors=list(errors[:ITEMS_SHOWN]) if errors else None,
    )
    return JSONResponse(
        body.model_dump(mode="json", exclude_none=True),
        status_code=status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def unexpected_problem() -> JSONResponse:
    """Create the response for an unexpected exception; it contains the request id and no details."""
    return problem(500, "internal", "An internal error occurred. Try again; if it persists, report the request_id.")


def install(app: FastAPI) -> None:
    """Register the handlers of all exceptions that a route may raise."""
    app.add_exception_handler(DublineError, _dubline_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


def problem_of(error: DublineError) -> JSONResponse:
    """Create the response for an error of the domain."""
    headers = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="dubline"'
    if error.retryable:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _report(error)
    items = _items(error) if isinstance(error, InvalidRequestError) else None
    return problem(error.status, error.code, error.detail, errors=items, headers=headers)


async def _dubline_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DublineError)  # noqa: S101  # guaranteed by the registration of the handler
    return problem_of(error)


def _report(error: DublineError) -> None:
    if error.retryable:
        # An unavailable dependency is expected at times, so the reason is logged without a traceback.
        _log.warning("request_failed", code=error.code, reason=repr(error.__cause__))
    else:
        _log.error("request_failed", code=error.code, exc_info=error)


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = error.errors()
    items = [_field_item(fault) for fault in faults[:ITEMS_SHOWN]]
    first = items[0]
    detail = first.detail if first.pointer == "#" else f"{first.pointer}: {first.detail}"
    if len(faults) > 1:
        some = "at least " if len(faults) >= ITEMS_SHOWN else ""
        detail = f"The request has {some}{min(len(faults), ITEMS_SHOWN)} errors; see `errors`."
    return problem(422, "invalid_request", detail, errors=items)


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    status = error.status_code
    detail = _HTTP_DETAILS.get(status, error.detail)
    return problem(status, _HTTP_CODES.get(status, "invalid_request"), detail, headers=error.headers)


def _items(error: InvalidRequestError) -> list[ProblemItem]:
    # In a batch, a fault belongs to a row. The fault of a single job has row 0, which is omitted.
    def item_pointer(fault: Mapping[str, object]) -> str:
        row = ("jobs", str(fault["row"])) if isinstance(error, InvalidBatchError) else ()
        return pointer(("body", *row, *str(fault["field"]).split(".")))

    return [
        ProblemItem(pointer=item_pointer(fault), code=str(fault["code"]), detail=str(fault["detail"]))
        for fault in error.errors[:ITEMS_SHOWN]
    ]


def _field_item(fault: Mapping[str, Any]) -> ProblemItem:
    kind, location = fault["type"], fault["loc"]
    if kind == "json_invalid":
        return ProblemItem(
            pointer="#",
            code=kind,
            detail=f"The body is not JSON: {fault['ctx']['error']} at character {location[-1]}. Correct it there.",
        )
    if kind == "value_too_long":
        detail = f"The body has too long a value: {fault['msg']}, at character {location[-1]}. Send a shorter one."
        return ProblemItem(pointer="#", code=kind, detail=detail)
    if location == ("body",) and kind in {"missing", "model_attributes_type", "model_type"}:
        return ProblemItem(
            pointer="#", code=kind, detail="The body is not a JSON object. Send one, as application/json."
        )
    return ProblemItem(pointer=pointer(location), code=kind, detail=sentence_of(fault))


def pointer(location: Iterable[str | int]) -> str:
    """Convert a location of pydantic to a JSON pointer for bodies and to a form like `query/limit` otherwise."""
    where, *rest = location
    return "/".join(["#" if where == "body" else str(where), *map(_pointer_part, rest)])


def _pointer_part(part: str | int) -> str:
    # The name of an unknown field comes from the caller and may be very long.
    return str(part)[:64].replace("~", "~0").replace("/", "~1")
