from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.client.service import KEY, URL, Service

from dubline.client.calls import backoff, transport
from dubline.client.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "POLL_MIN_S", 0.0)
    monkeypatch.setattr(backoff, "POLL_MAX_S", 0.0)
    monkeypatch.setattr(transport, "retry_delay_s", lambda *_: 0.0)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(URL, KEY, service.transport()) as opened:
        yield opened


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder with a portrait, a picture without a face, an empty file and a speech track."""
    for name, content in {
        "face.jpg": b"a face",
        "wall.jpg": b"no face",
        "empty.jpg": b"",
        "hello.mp3": b"hello",
    }.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path
