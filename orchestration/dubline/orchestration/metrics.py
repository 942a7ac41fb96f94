"""The port on which a process publishes its metrics for Prometheus."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import REGISTRY, start_http_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

    from dubline.orchestration.settings import MetricsSettings

#: In a pod the scraper connects from outside.
ADDRESS: Final = "0.0.0.0"  # noqa: S104 - the port is off unless it is set

_log = structlog.get_logger(__name__)


@contextmanager
def published(settings: MetricsSettings, registry: CollectorRegistry = REGISTRY) -> Iterator[None]:
    """Publish the metrics of this process during the block, in threads of their own.

    A port that is in use is logged; the process works without metrics.
    """
    if not settings.port:
        yield
        return
    try:
        server, thread = start_http_server(settings.port, ADDRESS, registry)
    except OSError as error:
        _log.error("metrics_not_published", port=settings.port, error=str(error))
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
