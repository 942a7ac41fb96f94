from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from dubline.client.calls import proxies, transport
from dubline.client.client import Client
from dubline.client.errors import ClientError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six tries without the five seconds between them."""
    monkeypatch.setattr(transport, "retry_delay_s", lambda *_: 0.0)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A proxy of the environment that answers 502; the value is the list of requested lines."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.requestline)
            self.send_response(502)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        for name in ("NO_PROXY", "no_proxy", "http_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{server.server_port}")
        monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{server.server_port}")
        yield seen
        server.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.0.0.9"])
def test_a_server_on_this_machine_is_reached_without_a_proxy(proxy: list[str], host: str) -> None:
    with Client(f"http://{host}:1", "key") as client, pytest.raises(UnreachableError) as caught:
        client.jobs.get("x")
    assert proxy == []
    assert "proxy" not in str(caught.value)


def test_a_message_names_the_proxy_without_its_password(proxy: list[str]) -> None:
    with Client("http://dubline.test", "key") as client, pytest.raises(ClientError) as caught:
        client.jobs.get("x")
    assert proxy[0].startswith("GET http://dubline.test/v1/jobs/x")
    assert "through the proxy 127.0.0.1:" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_in_no_proxy_is_reached_without_one(proxy: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "dubline.test")
    assert proxies.proxy_of("http://dubline.test/v1") is None
    assert proxies.proxy_of("http://other.test") is not None
    assert proxy == []


#: Proxies that httpx2 refuses when it is created. GNOME sets the first.
UNUSABLE = ["socks://127.0.0.1:1", "socks5://127.0.0.1:1", "http://user:secret@b:c", "ftp://127.0.0.1:1"]


@pytest.mark.parametrize("unusable", UNUSABLE)
@pytest.mark.usefixtures("proxy")
def test_a_proxy_that_cannot_be_used_is_named_if_it_is_needed(monkeypatch: pytest.MonkeyPatch, unusable: str) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, unusable)
    with pytest.raises(ClientError, match=r"^The proxy .+ cannot be used\. Set HTTP_PROXY, .+ NO_PROXY\.$") as caught:
        Client("http://dubline.test", "key")
    assert unusable.rpartition("@")[2] in str(caught.value)
    assert "secret" not in str(caught.value)
    with Client("http://127.0.0.1:1", "key") as client, pytest.raises(UnreachableError):
        client.jobs.get("x")
    monkeypatch.setenv("NO_PROXY", "dubline.test")
    monkeypatch.setenv("no_proxy", "dubline.test")
    Client("http://dubline.test", "key").close()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "certificates.pem"
    if content:
        file.write_text(content)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(
        ClientError, match=r"^The certificates of TLS cannot be read: .+ Correct or remove SSL_CERT_FILE\.$"
    ):
        Client("https://dubline.test", "key")
