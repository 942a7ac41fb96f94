from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from dubline.api import metrics


def requests(**labels: str) -> float:
    return REGISTRY.get_sample_value("dubline_http_request_duration_seconds_count", labels) or 0.0


@pytest.mark.parametrize(
    ("scope", "status", "labels"),
    [
        (
            {"method": "GET", "route": SimpleNamespace(path="/v1/jobs/{job_id}")},
            200,
            {"method": "GET", "route": "/v1/jobs/{job_id}", "code": "200"},
        ),
        ({"method": "GET", "path": "/v1/random-8127"}, 404, {"method": "GET", "route": "unrouted", "code": "404"}),
        ({"method": "X-8127"}, 405, {"method": "other", "route": "unrouted", "code": "405"}),
        ({"method": "POST"}, None, {"method": "POST", "route": "unrouted", "code": "aborted"}),
    ],
)
def test_what_a_caller_chooses_never_becomes_a_label(
    scope: dict[str, Any], status: int | None, labels: dict[str, str]
) -> None:
    before = requests(**labels)
    metrics.count(scope, status, 0.5)
    assert requests(**labels) == before + 1
