# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
"""One job from its request to its result is one trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient
from tests.servers import free_port

from dubline.api.app import create_app
from dubline.api.services import Services
from dubline.orchestration import tracing
from dubline.orchestration.domain.jobs import JobState, Stage
from dubline.orchestration.rates import Rates
from dubline.orchestration.settings import LimitSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects
    from dubline.worker.executors.render import RenderExecutor

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER: Final = "00f067aa0ba902b7"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with tracing.installed(provider):
        yield exporter


def send_job(store: Store, objects: Objects, tenant: str, ready: tuple[UUID, UUID], traceparent: str) -> str:
    services = Services(store=store, objects=objects, limits=LimitSettings(), rates=Rates(""))
    headers = {"Authorization": f"Bearer {store.keys.create(tenant)}", "traceparent": traceparent}
    row = {"portrait_upload_id": str(ready[0]), "speech_upload_id": str(ready[1])}
    with TestClient(create_app(services)) as client:
        response = client.post("/v1/jobs", headers=headers, json=row)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def nothing(_: Mapping[str, int]) -> None:
    pass


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_job_is_one_trace_from_its_request_to_its_result(
    spans: InMemorySpanExporter,
    store: Store,
    objects: Objects,
    tenant: str,
    ready: tuple[UUID, UUID],
    worker: RenderExecutor,
) -> None:
    store.outbox.publish(nothing)
    spans.clear()
    job_id = send_job(store, objects, tenant, ready, f"00-{TRACE}-{CALLER}-01")
    store.outbox.publish(nothing)
    assert worker.run_next()
    found = {span.name: span for span in spans.get_finished_spans()}
    assert len(found) == len(spans.get_finished_spans())
    assert {f"{span.context.trace_id:032x}" for span in found.values() if span.context} == {TRACE}
    ids = {span.context.span_id: name for name, span in found.items() if span.context}
    parents = {name: ids.get(span.parent.span_id, "caller") for name, span in found.items() if span.parent}
    request, stages = "POST /v1/jobs", {stage.value for stage in Stage}
    within = dict.fromkeys({"claim", *stages}, "attempt")
    assert parents == {request: "caller", "publish": request, "attempt": request} | within
    order = sorted(stages, key=lambda name: found[name].start_time or 0)
    assert order == [stage.value for stage in Stage]
    assert facts(found[request]) == {"dubline.status": 201}
    told = {
        "job_id": job_id,
        "attempt": 1,
        "preset": "base",
        "pool": "default",
        "outcome": "succeeded",
        "cause": "none",
    }
    assert facts(found["attempt"]) == {f"dubline.{name}": value for name, value in told.items()}


@pytest.mark.parametrize(
    "hostile",
    ["", "00-" + "0" * 32 + f"-{CALLER}-01", f"ff-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-01-x", "x" * 9999],
)
def test_a_header_that_is_not_valid_begins_a_new_trace(
    spans: InMemorySpanExporter, store: Store, objects: Objects, tenant: str, ready: tuple[UUID, UUID], hostile: str
) -> None:
    send_job(store, objects, tenant, ready, hostile)
    (request,) = (span for span in spans.get_finished_spans() if span.name == "POST /v1/jobs")
    assert request.parent is None
    lease = store.leases.claim("worker", 20)
    assert lease is not None
    assert request.context is not None
    ids = f"{request.context.trace_id:032x}-{request.context.span_id:016x}"
    assert (lease.traceparent or "").startswith(f"00-{ids}-")


def test_a_receiver_that_is_away_costs_no_job(
    store: Store,
    objects: Objects,
    tenant: str,
    ready: tuple[UUID, UUID],
    worker: RenderExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with tracing.configured("test"):
        job_id = send_job(store, objects, tenant, ready, "")
        assert worker.run_next()
    assert store.jobs.get(tenant, UUID(job_id)).state is JobState.SUCCEEDED
