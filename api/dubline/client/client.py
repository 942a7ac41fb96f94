"""The client object: one group of calls per resource of the API."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import httpx2

from dubline.client.calls.administration import Administration
from dubline.client.calls.batches import Batches
from dubline.client.calls.jobs import Jobs
from dubline.client.calls.limits import Limits
from dubline.client.calls.outage import Outage
from dubline.client.calls.transport import Transport
from dubline.client.calls.uploads import Uploads
from dubline.client.calls.verifications import Verifications
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

DEFAULT_URL: Final = "http://127.0.0.1:8000"
#: Ends of addresses that a server has and that users copy.
_BELOW: Final = ("/v1", "/docs", "/openapi.json")


class Client:
    """A connection to one server with one API key; thread-safe.

    Attributes:
        uploads: calls of uploads.
        jobs: calls of jobs.
        batches: calls of batches.
        administration: calls of API keys and usage.
        verifications: calls of verifications.
        url: base URL of the server.
    """

    def __init__(self, url: str, key: str, transport: httpx2.BaseTransport | None = None) -> None:
        """Create a client; no request is sent.

        Args:
            url: base URL of the server.
            key: API key.
            transport: transport of httpx2; the network if None.

        Raises:
            ClientError: the URL or the key is not valid.
        """
        _check_url(url)
        _check_key(key)
        self.url = url.rstrip("/")
        self._closing = Event()
        try:
            self._transport = Transport(self.url, key, self._closing, transport)
        except httpx2.InvalidURL as error:
            raise ClientError(f"{url!r} is not the URL of a server: {error}.") from error
        self.uploads = Uploads(self._transport, self._closing)
        self.jobs = Jobs(self._transport, self._closing)
        self.batches = Batches(self._transport, self._closing)
        self.administration = Administration(self._transport)
        self.verifications = Verifications(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def limits(self) -> Limits:
        """Get the limits of the server.

        Raises:
            ClientError: the server did not respond.
        """
        return self._transport.call("GET /v1/limits", Limits)

    def endure_outages(self, tell: Callable[[str], None]) -> None:
        """From now on wait for a server that has responded once, and for room in a quota, instead of giving up.

        Args:
            tell: shows a sentence about what is waited for to the user; called from any thread.
        """
        self._transport.outage = Outage(tell)

    def stop_waiting(self) -> None:
        """Make every waiting call, in any thread, raise StoppedError."""
        self._closing.set()

    def close(self) -> None:
        """Stop waiting calls and close all connections."""
        self.stop_waiting()
        self._transport.close()


def _check_url(url: str) -> None:
    if url != url.strip():
        raise ClientError("DUBLINE_URL has a blank at its beginning or end. Remove it.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        # Without the URL, which may contain a password.
        raise ClientError("DUBLINE_URL has a wrong host or port. Use http://HOST:PORT, the port a number.") from error
    if parts.username is not None or parts.password is not None:
        # No message contains the password: terminals and logs keep what they show.
        raise ClientError("DUBLINE_URL has a user or a password. Remove it; the key is read from DUBLINE_API_KEY.")
    if parts.scheme not in {"http", "https"}:
        raise ClientError(f"{url!r} is not the URL of a server: it must start with http:// or https://.")
    if not parts.hostname or port == 0:
        raise ClientError(f"{url!r} is not the URL of a server: it has no host or no port. Use http://HOST:PORT.")
    if parts.query or parts.fragment or parts.path.rstrip("/").endswith(_BELOW):
        raise ClientError(
            f"{url!r} is an address below that of a server. Use the part before its path: http://HOST:PORT."
        )


def _check_key(key: str) -> None:
    # No message contains the key: terminals and logs keep what they show.
    for place, end in (("beginning", key[:1]), ("end", key[-1:])):
        if end.isspace():
            raise ClientError(f"DUBLINE_API_KEY has a blank at its {place}. A key has visible ASCII characters only.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ClientError("The API key in DUBLINE_API_KEY contains characters that are not valid in a key.")
