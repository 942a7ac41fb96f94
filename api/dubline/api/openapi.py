"""The public description of the API: where problems are declared for every route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from dubline.api.problems import MEDIA_TYPE
from dubline.api.schemas.problems import Problem

if TYPE_CHECKING:
    from fastapi import FastAPI

_REF: Final = "#/components/schemas/{model}"
_MEANINGS: Final = {
    401: "The API key is missing or unknown.",
    404: "There is nothing with this id among the caller's own.",
    409: "An upload is still being checked, or a job that is not final still needs it.",
    413: "The body, the file or the batch is larger than is accepted.",
    422: "The request is not valid; `errors` names each fault.",
    503: "A part that the API stands on does not answer; `Retry-After` says when to try again.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare the problems that a route may answer with, for its `responses`."""
    schema = {"$ref": _REF.format(model=Problem.__name__)}
    return {
        status: {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
    }


def install(app: FastAPI) -> None:
    """Make the app describe itself with the schemas of its problems included."""

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
            problem = Problem.model_json_schema(ref_template=_REF)
            schemas = description.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(problem.pop("$defs"), **{Problem.__name__: problem})
            app.openapi_schema = description
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's documented way to extend it
