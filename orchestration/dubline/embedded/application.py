"""The parts of the application: the setup task, renderer, prober, maintenance process and API."""

from __future__ import annotations

import http.client
import sys
from typing import Final

from dubline.embedded.part import Part
from dubline.embedded.ports import LOOPBACK
from dubline.embedded.servers import broker, bucket, database

PREPARE: Final = "prepare"
API: Final = "api"
RENDERER: Final = "renderer"
PROBER: Final = "prober"
MAINTENANCE: Final = "maintenance"
TENANT: Final = "local"
#: Scopes of the key of a stack: all. It has one tenant, whose user has started it, and listens on loopback only.
SCOPES: Final = ("submit", "read", "delete", "admin", "scaling")

#: Modules of the parts, in the order in which the parts are started. Those of both workers come first: the renderer's
#: child then imports torch, which takes longer than all the rest.
PRELOADED: Final = (
    ("celery.worker", "kombu.transport.redis", "dubline.worker.child", "dubline.worker.tasks"),
    ("dubline.orchestration.commands.prepare",),
    ("dubline.orchestration.maintenance.scheduler", "dubline.worker.executors.probe"),
    (
        "dubline.api.app",
        "dubline.api.server",
        "uvicorn.lifespan.on",
        "uvicorn.loops.auto",
        "uvicorn.protocols.http.auto",
    ),
)
_READY_S: Final = 1.0


def application(api_port: int) -> tuple[Part, ...]:
    """Describe the processes of the application.

    Workers and the maintenance process count as ready once they are started, because jobs may be created before they
    run. A process that stops is reported. The renderer loads its networks while the database is created; it polls again
    if it is faster.
    """
    prepared = frozenset({PREPARE})
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    servers = prepared | {broker.NAME}
    return (
        Part(
            name=PREPARE,
            argv=(sys.executable, "-m", "dubline.orchestration", "prepare", TENANT, *scopes),
            needs=frozenset({database.NAME, bucket.NAME}),
            forked=True,
        ),
        _server(RENDERER, "dubline.worker", "render", needs=frozenset({broker.NAME})),
        _server(PROBER, "dubline.worker", "probe", needs=servers),
        _server(MAINTENANCE, "dubline.orchestration", "maintenance", needs=servers),
        Part(
            name=API,
            argv=(sys.executable, "-m", "dubline.api"),
            needs=prepared,
            is_ready=lambda: _is_healthy(api_port),
            forked=True,
        ),
    )


def _server(name: str, module: str, role: str, needs: frozenset[str]) -> Part:
    argv = (sys.executable, "-m", module, role)
    return Part(name=name, argv=argv, needs=needs, is_ready=lambda: True, forked=True)


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_READY_S)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
