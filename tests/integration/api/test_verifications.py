from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from dubline.orchestration.domain.keys import Scope

if TYPE_CHECKING:
    from starlette.testclient import TestClient
    from tests.integration.api.conftest import Prober, Renderer

    from dubline.api.services import Services

VIDEO, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def job_id(client: TestClient, prober: Prober, services: Services, renderer: Renderer) -> str:
    """A job whose video has the hash `VIDEO`."""
    body = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    created = str(client.post("/v1/jobs", json=body).json()["id"])
    services.store.leases.finish(renderer.claim(created), 5, 2.5, sha256=VIDEO)
    return created


def verdict(client: TestClient, sha256: str, job_id: str | None = None) -> tuple[str, str | None]:
    response = client.post("/v1/verifications", json={"sha256": sha256, "job_id": job_id})
    assert response.status_code == 200
    answer = response.json()
    return answer["verdict"], answer["job"] and answer["job"]["id"]


def test_a_result_is_unaltered_whatever_job_it_names(client: TestClient, job_id: str) -> None:
    for named in (None, job_id, str(uuid4())):
        assert verdict(client, VIDEO, named) == ("unaltered", job_id)


def test_other_bytes_that_name_a_job_are_altered(client: TestClient, job_id: str) -> None:
    assert verdict(client, OTHER, job_id) == ("altered", job_id)


def test_other_bytes_without_a_job_are_unknown(client: TestClient, job_id: str) -> None:
    assert job_id
    assert verdict(client, OTHER) == verdict(client, OTHER, str(uuid4())) == ("unknown", None)


def test_another_tenant_learns_nothing_about_a_result(client: TestClient, stranger: TestClient, job_id: str) -> None:
    assert verdict(client, VIDEO)[0] == "unaltered"
    for sha256 in (VIDEO, OTHER):
        for named in (None, job_id, str(uuid4())):
            assert verdict(stranger, sha256, named) == ("unknown", None)


def test_a_result_is_known_until_its_job_is_deleted(client: TestClient, job_id: str) -> None:
    client.delete(f"/v1/jobs/{job_id}")
    assert verdict(client, VIDEO, job_id) == ("unknown", None)


def test_a_verification_needs_only_the_scope_read(client: TestClient, services: Services, tenant: str) -> None:
    secret = services.store.keys.issue(tenant, frozenset({Scope.READ}), None).secret
    headers = {"Authorization": f"Bearer {secret}"}
    assert client.post("/v1/verifications", json={"sha256": VIDEO}, headers=headers).status_code == 200


@pytest.mark.parametrize("sha256", ["", "ab", VIDEO.upper(), f"{VIDEO}\n", "g" * 64])
def test_a_hash_that_is_none_is_refused(client: TestClient, sha256: str) -> None:
    assert client.post("/v1/verifications", json={"sha256": sha256}).status_code == 422
