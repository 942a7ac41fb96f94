"""The way in for programs: one object with a group of calls for each noun."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Final, Self

import httpx2

from dubline.client.calls.batches import Batches
from dubline.client.calls.jobs import Jobs
from dubline.client.calls.transport import Transport
from dubline.client.calls.uploads import Uploads
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_URL: Final = "http://127.0.0.1:8000"


class Client:
    """Talks to one server with one API key; may be shared by threads.

    Attributes:
        uploads: files.
        jobs: single jobs.
        batches: many jobs in one call.
        url: the server's address.
    """

    def __init__(self, url: str, key: str, wire: httpx2.BaseTransport | None = None) -> None:
        """Nothing is sent yet.

        Args:
            url: the server's address.
            key: API key.
            wire: carries the requests; the network if None.

        Raises:
            ClientError: the address or the key cannot be one.
        """
        if not url.startswith(("http://", "https://")):
            raise ClientError(f"{url!r} is no address of a server: it begins with neither http:// nor https://.")
        if not key.isascii() or not key.isprintable():
            raise ClientError("The API key in DUBLINE_API_KEY has characters that no key has.")
        self.url = url.rstrip("/")
        self._closing = Event()
        try:
            self._transport = Transport(self.url, key, self._closing, wire)
        except httpx2.InvalidURL as error:
            raise ClientError(f"{url!r} is no address of a server: {error}.") from error
        self.uploads = Uploads(self._transport, self._closing)
        self.jobs = Jobs(self._transport, self._closing)
        self.batches = Batches(self._transport, self._closing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stop_waiting(self) -> None:
        """Make every call that waits give up, in whatever thread."""
        self._closing.set()

    def close(self) -> None:
        """Give up what waits and close all connections."""
        self.stop_waiting()
        self._transport.close()
