"""The composition root: puts the routes, the limits and the translation of errors around the services."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from dubline.api import batches, health, jobs, openapi, problems, uploads
from dubline.api.body_limit import BodyLimit
from dubline.api.request_ids import RequestIds

if TYPE_CHECKING:
    from dubline.api.services import Services

_DESCRIPTION: Final = """
Give a portrait and a speech track, get a video of that person speaking.

1. `POST /v1/uploads` for each file, PUT the bytes where the answer says, `POST .../complete`.
2. Poll `GET /v1/uploads/{id}` until it is ready.
3. `POST /v1/jobs`, or `POST /v1/batches` for up to 10,000 jobs in one call.
4. Poll until the state is final; the result's URL is signed anew at each read.
5. `POST .../cancel` stops work that is no longer wanted; `DELETE` removes it and its files for good.

Every error is application/problem+json with a stable `code`.
"""


def create_app(services: Services) -> FastAPI:
    """Build the app around machinery that is already connected; nothing here reads the environment."""
    app = FastAPI(
        title="Dubline",
        version=version("dubline"),
        summary="Bulk dubbing: one portrait and one speech track in, a video of that person speaking out.",
        description=_DESCRIPTION,
        redoc_url=None,
    )
    app.state.services = services
    for room in (uploads, jobs, batches, health):
        app.include_router(room.router)
    problems.install(app)
    openapi.install(app)
    # The last one added is the outermost: a refused body is named and logged like any other request.
    app.add_middleware(BodyLimit, limit_bytes=services.limits.body_bytes)
    app.add_middleware(RequestIds)
    return app
