"""The application factory: routes, middleware and error handlers around the services."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from dubline.api import (
    audit,
    batches,
    health,
    jobs,
    keys,
    limits,
    openapi,
    problems,
    scaling,
    uploads,
    usage,
    verifications,
)
from dubline.api.body_limit import BodyLimit
from dubline.api.bulkhead import Bulkhead
from dubline.api.gate import Gate
from dubline.api.readiness import Readiness
from dubline.api.request_ids import RequestIds
from dubline.api.traces import Traces
from dubline.orchestration import tracing

if TYPE_CHECKING:
    from dubline.api.services import Services

_DESCRIPTION: Final = """
Give a portrait and a speech track, get a video of that person speaking.

1. `POST /v1/uploads` for each file, PUT the bytes to the URL in the response, `POST .../complete`.
2. Poll `GET /v1/uploads/{id}` until it is ready.
3. `POST /v1/jobs`, or `POST /v1/batches` for up to 10,000 jobs in one call.
4. Poll until the state is final; each read returns a new signed URL of the result.
5. `POST .../cancel` stops a job or a batch; `DELETE` removes it and its files permanently.

Every error is `application/problem+json` with a stable `code`.
"""


def create_app(services: Services) -> FastAPI:
    """Create the app around connected services; no settings are read."""
    app = FastAPI(
        title="Dubline",
        version=version("dubline"),
        summary="Bulk dubbing: one portrait and one speech track in, out comes a video of that person speaking.",
        description=_DESCRIPTION,
        redoc_url=None,
        # A redirect names the host that the caller sent, and a request with an empty id becomes another one.
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.readiness = Readiness(services.store)
    app.state.bulkhead = Bulkhead()
    for module in (uploads, jobs, batches, keys, usage, audit, limits, scaling, verifications, health):
        app.include_router(module.router)
    problems.install(app)
    openapi.install(app)
    # The middleware that is added last is the outermost, so a rejected body gets a request id and is logged too.
    app.add_middleware(BodyLimit, limit_bytes=services.limits.body_bytes)
    app.add_middleware(Gate, services=services)
    app.add_middleware(RequestIds)
    if tracing.is_on():
        app.add_middleware(Traces)
    return app
