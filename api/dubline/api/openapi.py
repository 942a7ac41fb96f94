"""The OpenAPI description, including the problem responses of all routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from dubline.api.gate import KEYED_PATH
from dubline.api.problems import MEDIA_TYPE
from dubline.api.schemas.problems import Problem

if TYPE_CHECKING:
    from fastapi import FastAPI

_REF: Final = "#/components/schemas/{model}"
_DESCRIPTIONS: Final = {
    401: "The API key is missing, unknown, revoked or expired.",
    403: "The API key lacks the scope that the request needs.",
    404: "The caller's tenant has no object with this id.",
    408: "The body did not arrive in time.",
    409: "An upload is still being checked, a job that is not final still needs it, or the tenant's quota is reached.",
    413: "The body, the file or the batch is too large.",
    422: "The request is not valid; `errors` lists each fault.",
    429: "Too many requests of the tenant, or too many unknown API keys; try again after `Retry-After` seconds.",
    503: "The database or the bucket is unavailable; try again after `Retry-After` seconds.",
}


#: Every request below the path of keys may be refused before its route is called.
_OF_KEYS: Final = (401, 403, 429, 503)
_OF_BODIES: Final = (408, 413, 422)
_INVALID: Final = 422


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` argument of a route that may respond with these problems.

    A route names what is particular to it. `install` adds what follows from its key, its parameters and its body.
    """
    schema = {"$ref": _REF.format(model=Problem.__name__)}
    return {
        status: {"description": _DESCRIPTIONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Add the schemas of problems to the app's OpenAPI description."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            for path, methods in description["paths"].items():
                for operation in methods.values():
                    _add_problems(path, operation)
            problem = Problem.model_json_schema(ref_template=_REF)
            schemas = description.setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            schemas.update(problem.pop("$defs"), **{Problem.__name__: problem})
            app.openapi_schema = description
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # the way to extend it that FastAPI documents


def _add_problems(path: str, operation: dict[str, Any]) -> None:
    """Add the problems that follow from the key, the parameters and the body of an operation."""
    statuses = list(_OF_KEYS) if path.startswith(KEYED_PATH) else []
    statuses += _OF_BODIES if "requestBody" in operation else ()
    statuses += (_INVALID,) if operation.get("parameters") else ()
    described = {str(status): response for status, response in problems(*statuses).items()}
    operation["responses"] = dict(sorted((operation["responses"] | described).items()))
