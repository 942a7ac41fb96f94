"""The client's calls of keys and usage against the API."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import httpx2
from starlette.testclient import TestClient
from tests.integration.api.conftest import Prober
from typer.testing import CliRunner

from dubline.api.app import create_app
from dubline.client.cli import administration
from dubline.client.cli.commands import app
from dubline.client.client import Client
from dubline.orchestration.domain.jobs import NewJob
from dubline.orchestration.domain.keys import Scope

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from dubline.api.services import Services


def test_the_commands_manage_keys_and_print_usage(
    services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = services.store.keys.issue("acme", set(Scope)).secret
    with TestClient(create_app(services)) as server:

        def respond(request: httpx2.Request) -> httpx2.Response:
            answer = server.request(
                request.method, str(request.url), headers=dict(request.headers), content=request.content
            )
            return httpx2.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)

        monkeypatch.setattr(
            administration, "connect", lambda: Client("http://testserver", secret, httpx2.MockTransport(respond))
        )
        runner = CliRunner()

        def run(*words: str) -> list[str]:
            result = runner.invoke(app, words)
            assert result.exit_code == 0, result.output
            # The log of the API, which runs in this process, is printed too.
            return [line for line in result.stdout.splitlines() if "request_id" not in line]

        created = run("keys", "create", "--scope", "read", "--expires-s", "60")[0]
        assert services.store.keys.authenticate(created) is not None
        key_id = run("keys", "list")[-1].split()[0]
        rotated = run("keys", "rotate", key_id, "--overlap-s", "0")[0]
        assert services.store.keys.authenticate(created) is None
        run("keys", "revoke", run("keys", "list")[-1].split()[0])
        assert services.store.keys.authenticate(rotated) is None
        assert run("usage", "--csv") == ["day,preset,jobs,succeeded,failed,cancelled,video_s,device_s,size_bytes"]
        assert run("usage") == []
        finish_job(services)
        assert run("usage", "--trace", str(tmp_path / "jobs.csv")) == []
        assert run("usage", "--trace", str(tmp_path / "none.csv"), "--last", "2000-01-01") == []
    assert [line.split(",")[1:] for line in (tmp_path / "jobs.csv").read_text().splitlines()] == [
        ["device_s", "preset"],
        ["7.5", "base"],
    ]
    assert (tmp_path / "none.csv").read_text() == "arrival,device_s,preset\n"


def finish_job(services: Services) -> None:
    prober = Prober(services.store, "acme")
    uploads = {f"{kind}_upload_id": UUID(prober.ready(kind)) for kind in ("portrait", "speech")}
    services.store.jobs.insert("acme", NewJob(**uploads))
    lease = services.store.leases.claim("worker-1", 60)
    assert lease is not None
    services.store.leases.finish(lease, 1000, 3.0, 7.5)
