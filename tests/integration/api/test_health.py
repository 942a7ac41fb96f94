from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.testclient import TestClient

from dubline.api.app import create_app
from dubline.orchestration.database.store import Store
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from dubline.api.services import Services


def test_health_needs_no_key(anonymous: TestClient) -> None:
    assert anonymous.get("/health/live").json() == {"status": "ok"}
    assert anonymous.get("/health/ready").json() == {"status": "ok"}


def test_without_its_database_the_api_is_live_but_not_ready(services: Services) -> None:
    unavailable = DatabaseSettings.model_validate({"url": "postgresql+psycopg://dubline@127.0.0.1:1/dubline"})
    with Store.connect(unavailable) as store, TestClient(create_app(replace(services, store=store))) as client:
        assert client.get("/health/live").status_code == 200
        ready = client.get("/health/ready")
        request = client.get("/v1/jobs/00000000-0000-4000-8000-000000000000", headers={"Authorization": "Bearer x"})
    for response in (ready, request):
        assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
        assert "retry-after" in response.headers
        assert "127.0.0.1" not in response.text
