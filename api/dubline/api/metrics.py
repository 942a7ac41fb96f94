"""Metrics of the API process: requests by route and status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Histogram

if TYPE_CHECKING:
    from starlette.types import Scope

#: Route of requests that matched none, or that were refused before routing.
UNROUTED: Final = "unrouted"
#: Methods that are named; a caller may send any word.
METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
#: Code of a request whose client left before the response.
ABORTED: Final = "aborted"

_REQUESTS: Final = Histogram(
    "dubline_http_request_duration_seconds",
    "Requests and their time, by template of the route; a long poll lasts as long as it waits.",
    ["method", "route", "code"],
    buckets=(0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


def count(scope: Scope, status: int | None, duration_s: float) -> None:
    """Count a request that has ended.

    Args:
        scope: of the request, after it was routed.
        status: of the response; None without one.
        duration_s: seconds from the headers to the end of the response.
    """
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = getattr(scope.get("route"), "path", None) or UNROUTED
    _REQUESTS.labels(method, route, str(status or ABORTED)).observe(duration_s)
