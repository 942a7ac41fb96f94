"""Fixtures: the command line against a service in this process."""

from __future__ import annotations

import pytest
from tests.unit.client.service import KEY, URL, Service

from dubline.client import __main__, client
from dubline.client.cli import connection


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service()
    real = client.Client
    monkeypatch.setattr(connection, "Client", lambda url, key: real(url, key, service.transport()))
    monkeypatch.setenv("DUBLINE_URL", URL)
    monkeypatch.setenv("DUBLINE_API_KEY", KEY)
    return service


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run a command; return its exit code."""
    monkeypatch.setattr("sys.argv", ["dubline", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code
