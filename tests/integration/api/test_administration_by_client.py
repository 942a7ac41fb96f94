"""The client's calls of keys and usage against the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
from starlette.testclient import TestClient
from typer.testing import CliRunner

from dubline.api.app import create_app
from dubline.client.cli import administration
from dubline.client.cli.commands import app
from dubline.client.client import Client
from dubline.orchestration.domain.keys import Scope

if TYPE_CHECKING:
    import pytest

    from dubline.api.services import Services


def test_the_commands_manage_keys_and_print_usage(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
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
