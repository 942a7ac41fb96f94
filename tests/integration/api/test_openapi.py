from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from fastapi.openapi.models import OpenAPI
from tests.integration.api.conftest import described

from dubline.orchestration.domain.errors import DublineError, _subtree
from dubline.orchestration.domain.keys import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.testclient import TestClient

    from dubline.api.services import Services

ROUTES = {
    "/v1/uploads": {"get", "post"},
    "/v1/uploads/{upload_id}": {"get", "delete"},
    "/v1/uploads/{upload_id}/complete": {"post"},
    "/v1/jobs": {"get", "post"},
    "/v1/jobs/{job_id}": {"get", "delete"},
    "/v1/jobs/{job_id}/cancel": {"post"},
    "/v1/batches": {"get", "post"},
    "/v1/batches/{batch_id}": {"get", "delete"},
    "/v1/batches/{batch_id}/cancel": {"post"},
    "/v1/batches/{batch_id}/jobs": {"get"},
    "/v1/keys": {"get", "post"},
    "/v1/keys/{key_id}": {"delete"},
    "/v1/keys/{key_id}/rotate": {"post"},
    "/v1/scaling/{pool}": {"get"},
    "/v1/usage": {"get"},
    "/v1/audit": {"get"},
    "/v1/limits": {"get"},
    "/v1/verifications": {"post"},
    "/health/live": {"get"},
    "/health/ready": {"get"},
}


@pytest.fixture
def description(anonymous: TestClient) -> dict[str, Any]:
    response = anonymous.get("/openapi.json")
    assert response.status_code == 200
    described: dict[str, Any] = response.json()
    return described


def test_the_description_is_openapi_3_1_with_every_route(description: dict[str, Any]) -> None:
    OpenAPI.model_validate(description)
    assert description["openapi"].startswith("3.1")
    assert {path: set(methods) for path, methods in description["paths"].items()} == ROUTES


def test_every_reference_in_the_description_is_defined(description: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(description)))
    assert references == set(description["components"]["schemas"])


def test_every_operation_has_a_unique_id_a_summary_and_problems(
    description: dict[str, Any],
) -> None:
    operations = [one for methods in description["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert one["summary"]
        assert one["description"]
        for status, response in one["responses"].items():
            kind = "application/problem+json" if int(status) >= 400 else "application/json"
            assert set(response.get("content", {})) == (set() if status == "204" else {kind})


def test_every_deletion_describes_its_audit_header(description: dict[str, Any]) -> None:
    deletions = [methods["delete"] for methods in description["paths"].values() if "delete" in methods]
    assert len(deletions) == 4
    for one in deletions:
        assert set(one["responses"]) == {"204", "401", "403", "404", "422", "429", "503"} | (
            {"409"} if one["operationId"].startswith("delete_upload") else set()
        )
        (header,) = one["responses"]["204"]["headers"].items()
        assert header[0] == "Dubline-Audit"
        UUID(header[1]["example"])


def test_every_route_but_health_requires_a_key(description: dict[str, Any]) -> None:
    for path, methods in description["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) == path.startswith("/v1/")


def test_every_route_lists_the_statuses_of_what_it_reads(description: dict[str, Any]) -> None:
    for path, methods in description["paths"].items():
        for operation in methods.values():
            expected = {401, 403, 429, 503} if path.startswith("/v1/") else set()
            expected |= {408, 413, 422} if "requestBody" in operation else set()
            expected |= {422} if "parameters" in operation else set()
            expected |= {404} if "{" in path else set()
            assert expected <= set(map(int, operation["responses"]))


def test_every_error_of_the_domain_is_listed_somewhere(description: dict[str, Any]) -> None:
    operations = [one for methods in description["paths"].values() for one in methods.values()]
    listed = {int(status) for one in operations for status in one["responses"]}
    assert {error.status for error in _subtree(DublineError)} - {500} <= listed


def test_every_parameter_and_field_is_refused_in_plain_sentences(
    services: Services, tenant: str, description: dict[str, Any]
) -> None:
    key = services.store.keys.issue(tenant, frozenset(Scope), None).secret
    client = described(services, Authorization=f"Bearer {key}")
    schemas = description["components"]["schemas"]
    refused = set()
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            for where, name, options in _wrong(operation, schemas):
                sent = re.sub(r"\{\w+\}", "\N{SNOWMAN}" if where == "path" else str(UUID(int=1)), path)
                response = client.request(method, sent, **options)
                if response.status_code == 422:
                    refused.add((where, name))
                    for fault in response.json().get("errors") or [response.json()]:
                        assert re.fullmatch(r".+\. .+\.", fault["detail"]), fault
    assert {name for _, name in refused} >= {"limit", "wait_s", "state", "first", "sha256", "job_id", "seed", "kind"}
    assert len(refused) > 40


def _wrong(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield requests with one wrong parameter or field each: where it is, its name, and options of the client."""
    for one in operation.get("parameters", ()):
        for value in ("x y", "", "-1", "9" * 300):
            options = {"query": {"params": {one["name"]: value}}, "header": {"headers": {one["name"]: value}}}
            yield one["in"], one["name"], options.get(one["in"], {})
    if "requestBody" not in operation:
        return
    yield "body", "", {"content": "{", "headers": {"Content-Type": "application/json"}}
    yield "body", "", {"content": "{}"}
    yield from (("body", "", {"json": body}) for body in (None, [], {}, {"x": 1}, 1))
    (media,) = operation["requestBody"]["content"].values()
    for name in schemas[media["schema"]["$ref"].rpartition("/")[2]]["properties"]:
        for value in (None, "", "x", -1, 0.5, 10**40, [], [{}], {}, {"x": 1}, True):
            yield "body", name, {"json": {name: value}}
